//! From the text of one file to a tree: syntax, anchors, merge keys, duplicate keys.
//!
//! In: a text. Out: a tree of bounded size and depth, and every mistake. Never knows what an inventory is.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{
    Event, Options, Parser, ScalarStyle, Span as ParserSpan, StructureStyle, Tag,
};

use super::diagnostic::{Diagnostic, SourceId, Span};
use super::tree::{Entry, Node, Value, quoted};

/// Most values of one file after its aliases are followed: stops small files that unfold into huge ones.
pub const MAX_VALUES: usize = 200_000;
/// Deepest nesting after aliases are followed.
pub const MAX_DEPTH: usize = 48;

/// Parses one file. `None` when it is empty or its syntax is broken.
pub(super) fn parse(source: SourceId, text: &str, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_nesting_limit = MAX_DEPTH;
    options.flow_nesting_limit = MAX_DEPTH;
    options.emit_unresolved_aliases = true;
    let mut builder = Builder {
        source,
        text,
        problems,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        values: 0,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                if builder.event(event, span).is_err() {
                    return None;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                let at = builder.span_of(at, at + 1);
                let message = error.info();
                let mut problem = Diagnostic::new("syntax", format!("not YAML: {message}")).at(at);
                if let Some(help) = syntax_help(text, at, &message) {
                    problem = problem.help(help);
                }
                builder.problems.push(problem);
                return None;
            }
        }
    }
    builder.root
}

/// Advice for the usual causes of broken syntax.
fn syntax_help(text: &str, at: Span, message: &str) -> Option<&'static str> {
    if message.contains("flow mapping")
        || message.contains("flow sequence")
        || message.contains("unclosed bracket")
    {
        return Some("is every `{` and `[` before this place closed?");
    }
    let start = text.get(..at.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let indent_end = line.len() - line.trim_start().len();
    if line[..indent_end].contains('\t') {
        return Some("indent with spaces: YAML does not allow tabs there");
    }
    if line.matches(": ").count() > 1 {
        return Some(
            "a value that contains `: ` must be quoted; keys of one mapping stand on lines of their own",
        );
    }
    if line.contains(": @") || line.contains(": `") || line.contains(": %") || line.contains(": *") {
        return Some("a value that begins with `@`, `` ` ``, `%` or `*` must be quoted");
    }
    None
}

/// Parsing cannot go on; the reason is among the problems.
struct Stop;

/// A collection whose end has not come yet.
struct Open {
    value: Collection,
    span: Span,
    flow: bool,
    anchor: usize,
}

enum Collection {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, merges: Vec<Node>, key: Option<(String, Span, bool)> },
}

struct Builder<'a> {
    source: SourceId,
    text: &'a str,
    problems: &'a mut Vec<Diagnostic>,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn span_of(&self, start: usize, end: usize) -> Span {
        let start = start.min(self.text.len());
        Span { source: self.source, start, end: end.clamp(start, self.text.len()) }
    }

    fn span(&self, span: ParserSpan) -> Span {
        let start = span.start.byte_offset().unwrap_or(0);
        self.span_of(start, span.end.byte_offset().unwrap_or(start))
    }

    fn event(&mut self, event: Event<'_>, span: ParserSpan) -> Result<(), Stop> {
        let at = self.span(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.push(
                        Diagnostic::new("documents", "a second document begins here")
                            .at(at)
                            .help("an inventory file holds one document: merge them, or use several files"),
                    );
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let forced_text = self.check_tag(tag.as_deref(), at);
                let plain = style == ScalarStyle::Plain && !forced_text;
                let node = Node {
                    value: Value::Scalar { text: text.into_owned(), plain },
                    span: Some(at),
                    owner: None,
                    unknown: false,
                };
                self.remember(anchor, &node);
                self.place(node)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                self.open(Collection::Sequence(Vec::new()), at, style, anchor);
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let mapping = Collection::Mapping { entries: Vec::new(), merges: Vec::new(), key: None };
                self.open(mapping, at, style, anchor);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at)?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::UnresolvedAlias(name) => {
                self.problems.push(
                    Diagnostic::new("unknown-anchor", format!("there is no anchor {}", quoted(&format!("&{name}"))))
                        .at(at)
                        .help("an anchor stands before the aliases that refer to it; a text that begins with `*` needs quotes"),
                );
                self.place(nothing(at))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, value: Collection, span: Span, style: StructureStyle, anchor: usize) {
        self.stack.push(Open { value, span, flow: style == StructureStyle::Flow, anchor });
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let mut span = open.span;
        if open.flow {
            span.end = end.end.max(span.start);
        }
        let value = match open.value {
            Collection::Sequence(items) => Value::Sequence(items),
            Collection::Mapping { mut entries, merges, .. } => {
                if !open.flow
                    && let Some(first) = entries.first().and_then(|entry| entry.key_span)
                {
                    span = first;
                }
                for merged in merges {
                    self.merge_key(&mut entries, merged);
                }
                Value::Mapping(entries)
            }
        };
        let node = Node { value, span: Some(span), owner: None, unknown: false };
        self.remember(open.anchor, &node);
        self.place(node)
    }

    /// `<<: *defaults`: what is not said in the mapping itself is taken from there.
    fn merge_key(&mut self, entries: &mut Vec<Entry>, merged: Node) {
        let place = merged.span;
        let parts = match merged.value {
            Value::Sequence(items) => items,
            Value::Mapping(_) => vec![merged],
            Value::Scalar { .. } => vec![merged],
        };
        for part in parts {
            let Value::Mapping(defaults) = part.value else {
                self.problems.push(
                    Diagnostic::new("wrong-type", "`<<` takes a mapping, or a list of mappings")
                        .at(place)
                        .help("write `<<: *anchor` where the anchor stands on a mapping"),
                );
                continue;
            };
            for entry in defaults {
                if !entries.iter().any(|existing| existing.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.problems.push(
                Diagnostic::new("unknown-anchor", "this alias stands inside the value that it refers to")
                    .at(at),
            );
            return self.place(nothing(at));
        };
        let (values, depth) = node.extent();
        let node = node.clone();
        // `place` counts the node itself.
        self.values = self.values.saturating_add(values - 1);
        if self.stack.len() + depth > MAX_DEPTH {
            self.problems.push(
                Diagnostic::new(
                    "too-large",
                    format!("with this alias values are nested deeper than {MAX_DEPTH}"),
                )
                .at(at),
            );
            return Err(Stop);
        }
        self.place(node)
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a finished value where it belongs: root, list item, key or value.
    fn place(&mut self, mut node: Node) -> Result<(), Stop> {
        self.values += 1;
        if self.values > MAX_VALUES || self.stack.len() > MAX_DEPTH {
            let limits = format!("more than {MAX_VALUES} values, or nested deeper than {MAX_DEPTH}");
            self.problems.push(
                Diagnostic::new("too-large", limits)
                    .at(node.span)
                    .help("aliases count as often as they are used"),
            );
            return Err(Stop);
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.value {
            Collection::Sequence(items) => items.push(node),
            Collection::Mapping { entries, merges, key } => match key.take() {
                None => *key = Some(self_key(node, open.span, self.problems)),
                Some((name, span, true)) if name == "<<" => {
                    node.owner = Some(span);
                    merges.push(node);
                }
                Some((name, span, _)) => {
                    node.owner = Some(span);
                    if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                        self.problems.push(
                            Diagnostic::new("duplicate-key", format!("{} is here twice", quoted(&name)))
                                .at(span)
                                .also(first.key_span, "first here")
                                .help("keep one of them"),
                        );
                    } else {
                        entries.push(Entry { key: name, key_span: Some(span), value: node });
                    }
                }
            },
        }
        Ok(())
    }

    /// Complains about tags that mean something here; true when the tag makes the scalar a text.
    fn check_tag(&mut self, tag: Option<&Tag>, at: Span) -> bool {
        let Some(tag) = tag else { return false };
        let name = tag.to_string();
        let core = name.strip_prefix("tag:yaml.org,2002:").or_else(|| name.strip_prefix("!!"));
        match core {
            Some("str") => return true,
            Some("int" | "float" | "bool" | "null" | "map" | "seq") => {}
            _ => self.problems.push(
                Diagnostic::new("tag", format!("the tag {} means nothing in an inventory", quoted(&name)))
                    .at(at)
                    .help("remove it; a text that begins with `!` needs quotes"),
            ),
        }
        false
    }
}

/// What stands in place of an alias that leads nowhere.
fn nothing(at: Span) -> Node {
    Node {
        value: Value::Scalar { text: String::new(), plain: true },
        span: Some(at),
        owner: None,
        unknown: true,
    }
}

/// A key from the node that stands in its place: text, place, whether it was written without quotes.
fn self_key(node: Node, mapping: Span, problems: &mut Vec<Diagnostic>) -> (String, Span, bool) {
    let span = node.span.unwrap_or(mapping);
    match node.value {
        Value::Scalar { text, plain } => {
            if text.is_empty() {
                problems.push(Diagnostic::new("wrong-type", "a key is missing before `:`").at(span));
            }
            (text, span, plain)
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            problems.push(
                Diagnostic::new("wrong-type", "a key must be a text")
                    .at(span)
                    .help("a value that begins with `{` or `[` needs quotes when it is meant as text"),
            );
            (String::new(), span, false)
        }
    }
}
