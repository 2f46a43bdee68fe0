//! Whether what a template asks for can be there at all.
//!
//! In: a template's source, and the shapes of what it may see. Out: each dotted path that leads nowhere, with its
//! line. Rendering would find it too, but only when it comes to that branch.

use serde_json::Value;

use super::schema::Schema;
use crate::inventory::closest;

/// What is known of a node.
const NODE: &[&str] = &["name", "nodeid", "links", "address", "roles", "distro", "first"];
/// What is known of a cluster.
const CLUSTER: &[&str] = &["name", "size", "link_count"];
/// What is known of the barclamp itself.
const BARCLAMP: &[&str] = &["name", "version"];

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LostPath {
    /// Line in the template, from 1.
    pub(super) line: u64,
    /// What is wrong.
    pub(super) message: String,
}

/// All paths of a template that lead nowhere.
pub(super) fn lost_paths(source: &str, schema: &Schema) -> Vec<LostPath> {
    let mut lost = Vec::new();
    for (line, path) in paths(source) {
        let mut parts = path.split('.');
        let root = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let message = match root {
            "attributes" => lost_attribute(schema, &rest),
            "node" => lost_field("node", NODE, &rest),
            "cluster" => lost_field("cluster", CLUSTER, &rest),
            "barclamp" => lost_field("barclamp", BARCLAMP, &rest),
            _ => None,
        };
        lost.extend(message.map(|message| LostPath { line, message }));
    }
    lost
}

fn lost_field(root: &str, known: &[&str], rest: &[&str]) -> Option<String> {
    let field = rest.first()?;
    (!known.contains(field)).then(|| format!("`{root}` has no `{field}`{}", hint(field, known.iter().copied())))
}

fn lost_attribute(schema: &Schema, keys: &[&str]) -> Option<String> {
    let mut here = &schema.attributes;
    for key in keys {
        let target = schema.target(here);
        let properties = target.get("properties").and_then(Value::as_object);
        match (schema.property(target, key), properties) {
            (Some(next), _) => here = next,
            (None, Some(properties)) => {
                return Some(format!("there is no attribute `{}`{}", keys.join("."), hint(key, properties.keys().map(String::as_str))));
            }
            // Not described as a mapping with known keys: only rendering can tell.
            (None, None) => return None,
        }
    }
    None
}

fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(|close| format!("; did you mean `{close}`?")).unwrap_or_default()
}

/// The dotted paths inside the tags of a template, with their lines.
fn paths(source: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find("{").map(|offset| at + offset) {
        let close = match source.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                at = open + 1;
                continue;
            }
        };
        let inside = open + 2;
        let Some(end) = source[inside..].find(close).map(|offset| inside + offset) else { break };
        if close != "#}" {
            let line = |offset: usize| 1 + source[..inside + offset].matches('\n').count() as u64;
            words(&source[inside..end], |offset, word| found.push((line(offset), word.to_owned())));
        }
        at = end + close.len();
    }
    found
}

/// The words of an expression that may be variables: not in quotes, not after a dot or a bar.
fn words(expression: &str, mut found: impl FnMut(usize, &str)) {
    let bytes = expression.as_bytes();
    let mut at = 0;
    let mut before = b' ';
    while at < bytes.len() {
        let byte = bytes[at];
        if matches!(byte, b'"' | b'\'' | b'`') {
            at += 1 + bytes[at + 1..].iter().position(|other| *other == byte).map_or(bytes.len() - at - 1, |length| length + 1);
            before = byte;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).count();
            if !matches!(before, b'.' | b'|') {
                found(at, expression[at..at + length].trim_end_matches('.'));
            }
            at += length;
            before = b'a';
        } else {
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_paths_in_tags_only() {
        let source = "a.b {{ node.name }}\n{% if attributes.x.y == \"node.z\" %}{# node.q #}{{ v | attributes.not }}";
        let expected = vec![(1, "node.name".to_owned()), (2, "if".to_owned()), (2, "attributes.x.y".to_owned()), (2, "v".to_owned())];
        assert_eq!(paths(source), expected);
    }
}
