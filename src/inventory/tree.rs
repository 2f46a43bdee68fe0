//! YAML as a tree in which every value knows where it stands.
//!
//! In: events of the parser (see `yaml`), or JSON. Out: nodes for the decoder. Never judges what a value means.

use serde_json::Value as Json;

use super::diagnostic::Span;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// What it is.
    pub(super) value: Value,
    /// Where it stands; of a block mapping, its first key. `None` when it is not from a file.
    pub(super) span: Option<Span>,
    /// The key it stands under.
    pub(super) owner: Option<Span>,
    /// What it says could not be found out, and that was reported: nothing more is to be said of it.
    pub(super) unknown: bool,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Text, with escapes resolved; `plain` means written without quotes, so that it may be a number or the like.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping; keys are unique.
    Mapping(Vec<Entry>),
}

/// A key of a mapping and what stands under it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key as written.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) key_span: Option<Span>,
    /// What stands under it.
    pub(super) value: Node,
}

/// What an unquoted scalar means in YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

impl Node {
    /// The place to complain about: the value, or for what may span many lines the key it stands under.
    pub(super) fn blame(&self) -> Option<Span> {
        match self.value {
            Value::Scalar { ref text, .. } if text.is_empty() => self.owner.or(self.span),
            Value::Scalar { .. } => self.span.or(self.owner),
            Value::Sequence(_) | Value::Mapping(_) => self.owner.or(self.span),
        }
    }

    /// Whether it is empty, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if resolve(text) == Plain::Null)
    }

    /// What stands under this key, if it is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar { .. } | Value::Sequence(_) => None,
        }
    }

    /// How many nodes it is made of, and how deep it is.
    pub(super) fn extent(&self) -> (usize, usize) {
        let children: Vec<&Node> = match &self.value {
            Value::Scalar { .. } => Vec::new(),
            Value::Sequence(items) => items.iter().collect(),
            Value::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
        };
        let below = children.iter().map(|child| child.extent());
        let (nodes, depth) = below.fold((0, 0), |(n, d), (nodes, depth)| (n + nodes, d.max(depth)));
        (nodes + 1, depth + 1)
    }

    /// A word for what it is.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar { text, plain } => match resolve(text) {
                _ if !plain => format!("the text {}", quoted(text)),
                Plain::Null => "nothing".to_owned(),
                Plain::Bool(_) => format!("the boolean `{text}`"),
                Plain::Int(_) | Plain::Float(_) => format!("the number `{text}`"),
                Plain::Text => format!("the text {}", quoted(text)),
            },
        }
    }

    /// A tree of JSON, all of it standing at one place.
    pub(super) fn from_json(json: &Json, span: Option<Span>) -> Self {
        let scalar = |text: String, plain| Value::Scalar { text, plain };
        let value = match json {
            Json::Null => scalar(String::new(), true),
            Json::Bool(value) => scalar(value.to_string(), true),
            Json::Number(value) => scalar(value.to_string(), true),
            Json::String(value) => scalar(value.clone(), false),
            Json::Array(items) => {
                Value::Sequence(items.iter().map(|item| Self::from_json(item, span)).collect())
            }
            Json::Object(object) => Value::Mapping(
                object
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_span: span,
                        value: Self::from_json(value, span),
                    })
                    .collect(),
            ),
        };
        Self { value, span, owner: span, unknown: false }
    }
}

/// Text in the quotes that messages use, in one line, shortened.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let text: String = text.trim_end_matches(['\n', '\r']).chars().map(plain).collect();
    if text.chars().count() <= MAX_CHARS {
        return format!("`{text}`");
    }
    let start: String = text.chars().take(MAX_CHARS).collect();
    format!("`{start}…`")
}

/// What an unquoted scalar means (YAML 1.2.2, 10.3.2, core schema).
pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    let unsigned_part = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned_part.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    if unsigned_part.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or(Plain::Text, Plain::Int);
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+');
    if unsigned_part.bytes().all(numeric) {
        return text.parse().ok().filter(|value: &f64| value.is_finite()).map_or(Plain::Text, Plain::Float);
    }
    Plain::Text
}

fn unsigned(digits: &str, radix: u32) -> Plain {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match i64::from_str_radix(digits, radix) {
        Ok(value) if only_digits => Plain::Int(value),
        _ => Plain::Text,
    }
}

/// Whether YAML 1.1 readers take this unquoted text for a boolean and YAML 1.2 readers for text.
pub(super) fn is_yaml11_bool(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off")
}

/// Whether this unquoted number has a leading zero: octal for YAML 1.1 readers, decimal for YAML 1.2 readers.
pub(super) fn is_yaml11_octal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_line() {
        assert_eq!(quoted("a\n\tb \n"), "`a  b `");
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("no", Plain::Text),
            ("on", Plain::Text),
            ("012", Plain::Int(12)),
            ("0o14", Plain::Int(12)),
            ("0x1f", Plain::Int(31)),
            ("-3", Plain::Int(-3)),
            ("1e3", Plain::Float(1000.0)),
            ("1.5", Plain::Float(1.5)),
            ("1.2.3.4", Plain::Text),
            ("10s", Plain::Text),
            ("1-2", Plain::Text),
            (".", Plain::Text),
            ("99999999999999999999", Plain::Text),
            ("0x-1", Plain::Text),
            ("12:30", Plain::Text),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
