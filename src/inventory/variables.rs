//! `${name}` in texts becomes the value of a variable.
//!
//! In: the merged tree and what `--var` gave. Out: the same tree without `${...}`. `$${` stands for `${` itself.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Span};
use super::source::Sources;
use super::suggest::{closest, listed};
use super::tree::{Node, Value, quoted};

/// Longest text after its variables are filled in, in bytes.
pub const MAX_EXPANDED_BYTES: usize = 64 * 1024;
/// Deepest nesting of variables in the values of variables.
pub const MAX_VARIABLE_DEPTH: usize = 8;

/// A variable's value and where it is set.
struct Variable {
    text: String,
    span: Option<Span>,
}

/// Fills in the variables of the whole tree.
pub(super) fn substitute(
    root: &mut Node,
    overrides: &BTreeMap<String, String>,
    sources: &Sources,
    problems: &mut Vec<Diagnostic>,
) {
    let mut known = declared(root, problems);
    for (name, value) in overrides {
        known.insert(name.clone(), Variable { text: value.clone(), span: None });
    }
    let mut filler = Filler { known, used: BTreeSet::new(), failures: 0, sources, problems };
    if let Value::Mapping(entries) = &mut root.value {
        for entry in entries.iter_mut().filter(|entry| entry.key != "variables") {
            filler.fill(&mut entry.value);
        }
    }
    let Filler { known, used, .. } = filler;
    let declared_here =
        |name: &str| root.get("variables").is_some_and(|entry| entry.value.get(name).is_some());
    for name in overrides.keys().filter(|name| !used.contains(*name) && !declared_here(name)) {
        let problem =
            Diagnostic::new("variable", format!("--var {name}: the inventory has no variable of this name"));
        let others = known.keys().filter(|other| *other != name).map(String::as_str);
        problems.push(match closest(name, others) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem,
        });
    }
}

/// The variables that the inventory itself sets.
fn declared(root: &Node, problems: &mut Vec<Diagnostic>) -> BTreeMap<String, Variable> {
    let mut known = BTreeMap::new();
    let Some(section) = root.get("variables") else { return known };
    let Value::Mapping(entries) = &section.value.value else {
        if !section.value.is_null() {
            let found = section.value.describe();
            problems.push(
                Diagnostic::new("wrong-type", format!("`variables` must be a mapping, not {found}"))
                    .at(section.value.blame())
                    .help("write `variables: { domain: example.org }`"),
            );
        }
        return known;
    };
    for entry in entries {
        if !is_name(&entry.key) {
            problems.push(
                Diagnostic::new("variable", format!("{} cannot name a variable", quoted(&entry.key)))
                    .at(entry.key_span)
                    .help("use letters, digits, `_` and `-`, beginning with a letter"),
            );
        }
        match &entry.value.value {
            Value::Scalar { text, .. } if !entry.value.is_null() => {
                known.insert(entry.key.clone(), Variable { text: text.clone(), span: entry.value.span });
            }
            _ => {
                let found = entry.value.describe();
                problems.push(
                    Diagnostic::new(
                        "wrong-type",
                        format!("variable {} must be a text, not {found}", quoted(&entry.key)),
                    )
                    .at(entry.value.blame())
                    .help("for a value that may be changed with --var only, leave the variable out here"),
                );
                // Known all the same, so that its uses are not reported as well.
                known.insert(entry.key.clone(), Variable { text: String::new(), span: entry.value.span });
            }
        }
    }
    known
}

struct Filler<'a> {
    known: BTreeMap<String, Variable>,
    used: BTreeSet<String>,
    /// How many texts could not be filled in so far.
    failures: usize,
    sources: &'a Sources,
    problems: &'a mut Vec<Diagnostic>,
}

impl Filler<'_> {
    fn fill(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar { text, .. } => {
                if text.contains("${") {
                    let before = self.failures;
                    *text = self.expand(text, span, &mut Vec::new());
                    node.unknown = self.failures > before;
                }
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|entry| self.fill(&mut entry.value)),
        }
    }

    /// The text with its variables filled in; what cannot be filled in is reported and left out.
    fn expand(&mut self, text: &str, span: Option<Span>, within: &mut Vec<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find("${") {
            if rest[..dollar].ends_with('$') {
                out.push_str(&rest[..dollar - 1]);
                out.push_str("${");
                rest = &rest[dollar + 2..];
                continue;
            }
            out.push_str(&rest[..dollar]);
            let after = &rest[dollar + 2..];
            let Some(end) = after.find('}') else {
                self.report(
                    span,
                    "${",
                    Diagnostic::new("variable", "`${` without `}`"),
                    "write `$${` for a plain `${`",
                );
                return out;
            };
            let name = &after[..end];
            out.push_str(&self.value(name, span, within));
            rest = &after[end + 1..];
            if out.len() + rest.len() > MAX_EXPANDED_BYTES {
                let message =
                    format!("this text is longer than {MAX_EXPANDED_BYTES} bytes with its variables");
                self.failures += 1;
                self.problems.push(Diagnostic::new("too-large", message).at(span));
                return String::new();
            }
        }
        out.push_str(rest);
        out
    }

    fn value(&mut self, name: &str, span: Option<Span>, within: &mut Vec<String>) -> String {
        self.used.insert(name.to_owned());
        let written = format!("${{{name}}}");
        let Some(Variable { text, span: set_at }) = self.known.get(name) else {
            let message = format!("there is no variable {}", quoted(name));
            let help = match closest(name, self.known.keys().map(String::as_str)) {
                _ if !is_name(name) => "write `$${` for a plain `${`".to_owned(),
                Some(close) => format!("did you mean `${{{close}}}`?"),
                None if self.known.is_empty() => {
                    format!(
                        "set it below `variables:` or with --var {name}=VALUE; `$${{` stands for a plain `${{`"
                    )
                }
                None => format!(
                    "set it below `variables:` or with --var {name}=VALUE; there are {}",
                    listed(self.known.keys().map(String::as_str))
                ),
            };
            self.report(span, &written, Diagnostic::new("undefined-variable", message), &help);
            return String::new();
        };
        if !text.contains("${") {
            return text.clone();
        }
        let (text, set_at) = (text.clone(), *set_at);
        if within.iter().any(|outer| outer == name) || within.len() >= MAX_VARIABLE_DEPTH {
            let message = format!("the value of variable {} leads back to itself", quoted(name));
            self.report(
                set_at.or(span),
                &written,
                Diagnostic::new("variable", message),
                "write the value out",
            );
            return String::new();
        }
        within.push(name.to_owned());
        let value = self.expand(&text, set_at.or(span), within);
        within.pop();
        value
    }

    /// Reports a problem once, pointing at what is `written` inside the text.
    fn report(&mut self, span: Option<Span>, written: &str, problem: Diagnostic, help: &str) {
        self.failures += 1;
        let problem = problem.at(span.map(|span| self.within(span, written))).help(help);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The place of `written` inside a span, or all of it.
    fn within(&self, span: Span, written: &str) -> Span {
        let text = self.sources.get(span.source).and_then(|source| source.text.get(span.start..span.end));
        text.and_then(|text| text.find(written)).map_or(span, |offset| Span {
            start: span.start + offset,
            end: span.start + offset + written.len(),
            ..span
        })
    }
}

/// Whether this can name a variable.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
