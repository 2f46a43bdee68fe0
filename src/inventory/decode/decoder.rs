//! What every part of the decoder needs: typed values out of nodes, mistakes collected on the way.
//!
//! In: nodes of the tree. Out: values, or `None` after the mistake was noted. Never stops at the first mistake.

use std::fmt::Display;
use std::str::FromStr;

use camino::Utf8PathBuf;

use super::fields::Field;
use crate::inventory::diagnostic::{Diagnostic, Span};
use crate::inventory::source::Sources;
use crate::inventory::suggest::{closest, listed};
use crate::inventory::tree::{Entry, Node, Plain, Value, is_yaml11_bool, is_yaml11_octal, quoted, resolve};

/// What something refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RefersTo {
    /// A resource of the cluster, as a part or template of another.
    Resource,
    /// A resource of the cluster, in a constraint: a template will not do.
    Constrained,
    /// A node of the cluster.
    Node,
}

/// A name that stands for something defined elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The cluster it is in.
    pub(crate) cluster: String,
    /// What kind of thing.
    pub(crate) to: RefersTo,
    /// Its name.
    pub(crate) name: String,
    /// Where it is named.
    pub(crate) span: Option<Span>,
    /// What names it ("group `web`").
    pub(crate) from: String,
}

/// Collects mistakes and references while a tree is decoded.
pub(crate) struct Decoder<'a> {
    /// The texts, for the folder that relative paths start from.
    pub(crate) sources: &'a Sources,
    /// What `~` stands for.
    pub(crate) home: Option<&'a str>,
    /// The mistakes so far.
    pub(crate) problems: Vec<Diagnostic>,
    /// What was named so far.
    pub(crate) references: Vec<Reference>,
    /// The cluster that is being decoded.
    pub(crate) cluster: String,
}

/// The keys of a mapping, known to be allowed.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n>(&'n [Entry]);

impl<'n> Fields<'n> {
    /// What stands under this key.
    pub(crate) fn get(self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// This key with what stands under it.
    pub(crate) fn entry(self, key: &str) -> Option<&'n Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// All of them.
    pub(crate) fn entries(self) -> &'n [Entry] {
        self.0
    }
}

impl<'a> Decoder<'a> {
    /// A decoder without mistakes.
    pub(crate) fn new(sources: &'a Sources, home: Option<&'a str>) -> Self {
        Self { sources, home, problems: Vec::new(), references: Vec::new(), cluster: String::new() }
    }

    /// Notes a mistake.
    pub(crate) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Notes that something else was wanted here.
    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str, help: &str) {
        if node.unknown {
            return;
        }
        let found = node.describe();
        self.report(
            Diagnostic::new("wrong-type", format!("{what} must be {wanted}, not {found}"))
                .at(node.blame())
                .help(help),
        );
    }

    /// Notes that something is missing.
    pub(crate) fn missing(&mut self, node: &Node, what: &str, key: &str, help: &str) {
        self.report(
            Diagnostic::new("missing-key", format!("{what} has no `{key}`")).at(node.blame()).help(help),
        );
    }

    /// Notes that something is named here that is defined elsewhere.
    pub(crate) fn refer(&mut self, to: RefersTo, name: &str, span: Option<Span>, from: &str) {
        self.references.push(Reference {
            cluster: self.cluster.clone(),
            to,
            name: name.to_owned(),
            span,
            from: from.to_owned(),
        });
    }

    /// The entries of a mapping; nothing at all counts as an empty one.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Mapping(entries) => Some(entries),
            Value::Scalar { .. } if node.is_null() => Some(&[]),
            _ => {
                self.wrong_type(node, what, "a mapping", "write `key: value` lines below it, indented");
                None
            }
        }
    }

    /// The entries of a mapping whose keys are these; others are reported.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        tables: &[&[Field]],
    ) -> Option<Fields<'n>> {
        let entries = self.entries(node, what)?;
        let known = || tables.iter().flat_map(|table| table.iter()).map(|field| field.name);
        for entry in entries.iter().filter(|entry| !known().any(|name| name == entry.key)) {
            self.unknown_key(entry, what, known());
        }
        Some(Fields(entries))
    }

    /// Notes that a key is not one of these.
    pub(crate) fn unknown_key<'k>(
        &mut self,
        entry: &Entry,
        what: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let help = match closest(&entry.key, known.clone()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("known are {}", listed(known)),
        };
        let message = format!("{} is not a key of {what}", quoted(&entry.key));
        self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help(help));
    }

    /// The items of a list; nothing at all counts as an empty one.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::Sequence(items) => Some(items),
            Value::Scalar { .. } if node.is_null() => Some(&[]),
            _ => {
                self.wrong_type(node, what, "a list", "write `[a, b]`, or `- a` lines below it");
                None
            }
        }
    }

    /// A single value as a list of one, a list as it is.
    pub(crate) fn one_or_many<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::Sequence(items) => items,
            Value::Scalar { .. } | Value::Mapping(_) => std::slice::from_ref(node),
        }
    }

    /// A text exactly as written: `012`, `1e3` and `no` are what they look like, whatever YAML makes of them.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if node.unknown {
            return None;
        }
        let Value::Scalar { text, plain } = &node.value else {
            self.wrong_type(
                node,
                what,
                "a text",
                "write it on one line, in quotes where it has special characters",
            );
            return None;
        };
        let meaning = if *plain { resolve(text) } else { Plain::Text };
        match meaning {
            Plain::Null => {
                self.wrong_type(node, what, "a text", "write a value after the colon, or remove the key");
                None
            }
            Plain::Bool(_) => {
                self.wrong_type(node, what, "a text", &format!("if you mean the word, quote it: \"{text}\""));
                None
            }
            _ if text.is_empty() => {
                self.report(Diagnostic::new("bad-value", format!("{what} is empty")).at(node.blame()));
                None
            }
            Plain::Int(_) | Plain::Float(_) | Plain::Text => Some(text),
        }
    }

    /// A value that is written as text.
    pub(crate) fn parse<T>(&mut self, node: &Node, what: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.parse_with(node, what, str::parse)
    }

    /// A value that is written as text and read by this function.
    pub(crate) fn parse_with<T, E: Display>(
        &mut self,
        node: &Node,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(Diagnostic::new("bad-value", format!("{what}: {error}")).at(node.blame()));
                None
            }
        }
    }

    /// A whole number between these two, both included.
    pub(crate) fn integer(&mut self, node: &Node, what: &str, min: i64, max: i64) -> Option<i64> {
        let wanted = "a whole number";
        if node.unknown {
            return None;
        }
        let Value::Scalar { text, plain } = &node.value else {
            self.wrong_type(node, what, wanted, "write one number");
            return None;
        };
        match if *plain { resolve(text) } else { Plain::Text } {
            Plain::Int(_) if is_yaml11_octal(text) => {
                let digits = text.trim_start_matches('0');
                self.report(
                    Diagnostic::new(
                        "ambiguous",
                        format!("{what}: `{text}` is octal in YAML 1.1 and decimal in 1.2"),
                    )
                    .at(node.blame())
                    .help(format!(
                        "write {} without the leading zero",
                        if digits.is_empty() { "0" } else { digits }
                    )),
                );
                None
            }
            Plain::Int(value) if (min..=max).contains(&value) => Some(value),
            Plain::Int(value) => {
                self.report(
                    Diagnostic::new("bad-value", format!("{what}: {value} is out of range"))
                        .at(node.blame())
                        .help(format!("write a number between {min} and {max}")),
                );
                None
            }
            Plain::Text if !plain && matches!(resolve(text), Plain::Int(_)) => {
                self.wrong_type(node, what, wanted, &format!("remove the quotes: {text}"));
                None
            }
            _ => {
                self.wrong_type(node, what, wanted, &format!("write a number between {min} and {max}"));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let wanted = "true or false";
        let Value::Scalar { text, plain } = &node.value else {
            self.wrong_type(node, what, wanted, "write true or false");
            return None;
        };
        match if *plain { resolve(text) } else { Plain::Text } {
            Plain::Bool(value) => Some(value),
            _ if is_yaml11_bool(text) => {
                let meant = matches!(text.to_ascii_lowercase().as_str(), "yes" | "on");
                let help = format!(
                    "write {meant}: yes, no, on and off are booleans in YAML 1.1 and texts in YAML 1.2, \
                     so that `no` may be false or Norway; hactl takes neither for granted"
                );
                self.wrong_type(node, what, wanted, &help);
                None
            }
            _ if !plain && matches!(resolve(text), Plain::Bool(_)) => {
                self.wrong_type(node, what, wanted, &format!("remove the quotes: {text}"));
                None
            }
            _ => {
                self.wrong_type(node, what, wanted, "write true or false");
                None
            }
        }
    }

    /// One of these words.
    pub(crate) fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words = choices.iter().map(|(word, _)| *word);
        let help = match closest(text, words.clone()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("write one of {}", listed(words)),
        };
        let message = format!(
            "{what}: {} is not one of {}",
            quoted(text),
            listed(choices.iter().map(|(word, _)| *word))
        );
        self.report(Diagnostic::new("bad-value", message).at(node.blame()).help(help));
        None
    }

    /// A file on this machine: `~` is the home folder, relative paths start from the file they are written in.
    pub(crate) fn local_path(&mut self, node: &Node, what: &str) -> Option<Utf8PathBuf> {
        let text = self.text(node, what)?;
        match self.resolve_path(text, node.span) {
            Some(path) => Some(path),
            None => {
                self.report(
                    Diagnostic::new("bad-value", format!("{what}: {} cannot be found", quoted(text)))
                        .at(node.blame())
                        .help("`~` needs the environment variable HOME, and `~user` is not understood: write the path out"),
                );
                None
            }
        }
    }

    /// The path that a text means; `None` when it begins with a `~` that cannot be resolved.
    pub(crate) fn resolve_path(&self, text: &str, span: Option<Span>) -> Option<Utf8PathBuf> {
        if let Some(rest) = text.strip_prefix('~') {
            if !rest.is_empty() && !rest.starts_with('/') {
                return None;
            }
            return Some(Utf8PathBuf::from(self.home?).join(rest.trim_start_matches('/')));
        }
        let base = span.and_then(|span| self.sources.get(span.source)).map(|source| source.base.as_path());
        Some(base.map_or_else(|| text.into(), |base| base.join(text)))
    }
}
