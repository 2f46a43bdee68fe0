//! Whether what a template asks for can be there at all.
//!
//! In: a template's source, and the shapes of what it may see. Out: each dotted path that leads nowhere, with its
//! line. Rendering would find it too, but only when it comes to that branch.

use serde_json::Value;

use super::schema::Schema;
use crate::inventory::closest;

/// What is known of a node.
const NODE: &[&str] = &["name", "nodeid", "links", "address", "roles", "distro", "drbd", "first", "claims"];
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
    let paths = paths(source);
    let bound = bound(&paths);
    let aliases = aliases(source);
    let mut lost = Vec::new();
    for (line, path) in &paths {
        let (root, rest) = path.split_once('.').unwrap_or((path, ""));
        let whole = match aliases.iter().find(|(name, _)| name == root) {
            Some((_, target)) if rest.is_empty() => target.clone(),
            Some((_, target)) => format!("{target}.{rest}"),
            None if bound.contains(&root) => continue,
            None => path.clone(),
        };
        let mut parts = whole.split('.').filter(|part| !part.is_empty());
        let root = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let message = match root {
            "attributes" => lost_attribute(schema, &rest),
            "node" => lost_field("node", NODE, &rest),
            "cluster" => lost_field("cluster", CLUSTER, &rest),
            "barclamp" => lost_field("barclamp", BARCLAMP, &rest),
            _ => None,
        };
        lost.extend(message.map(|message| LostPath { line: *line, message }));
    }
    lost
}

/// Names that the template gives to something of its own; a loop over `nodes` gives `node` nothing new.
fn bound(paths: &[(u64, String)]) -> Vec<&str> {
    let mut bound = Vec::new();
    let word = |index: usize| paths.get(index).map(|(_, word)| word.as_str());
    for index in 0..paths.len() {
        match word(index) {
            Some("set") => bound.extend(word(index + 1)),
            Some("for") => {
                let names: Vec<&str> =
                    (index + 1..paths.len()).map_while(word).take_while(|word| *word != "in").collect();
                let of_nodes = names == ["node"] && word(index + 3) == Some("nodes");
                bound.extend(names.into_iter().filter(|_| !of_nodes));
            }
            _ => {}
        }
    }
    bound
}

/// Names that are set once, to a path: `{% set c = attributes.corosync %}`. Paths that begin with them are followed.
fn aliases(source: &str) -> Vec<(String, String)> {
    let mut aliases: Vec<(String, String)> = Vec::new();
    for tag in source.split("{%").skip(1).filter_map(|rest| rest.split("%}").next()) {
        let tag = tag.trim_matches(|c: char| c == '-' || c.is_whitespace());
        let Some((name, value)) = tag.strip_prefix("set ").and_then(|tag| tag.split_once('=')) else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        let is_path =
            value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) && !value.is_empty();
        let seen = aliases.iter().position(|(other, _)| other == name);
        match (seen, is_path) {
            (None, true) => {
                let (root, rest) = value.split_once('.').unwrap_or((value, ""));
                let target = aliases
                    .iter()
                    .find(|(other, _)| other == root)
                    .map(|(_, target)| format!("{target}.{rest}"));
                aliases.push((name.to_owned(), target.unwrap_or_else(|| value.to_owned())));
            }
            (Some(index), _) => drop(aliases.remove(index)),
            (None, false) => {}
        }
    }
    aliases
}

fn lost_field(root: &str, known: &[&str], rest: &[&str]) -> Option<String> {
    let field = rest.first()?;
    (!known.contains(field))
        .then(|| format!("`{root}` has no `{field}`{}", hint(field, known.iter().copied())))
}

fn lost_attribute(schema: &Schema, keys: &[&str]) -> Option<String> {
    let mut here = &schema.attributes;
    for key in keys {
        let target = schema.target(here);
        let properties = target.get("properties").and_then(Value::as_object);
        match (schema.property(target, key), properties) {
            (Some(next), _) => here = next,
            (None, Some(properties)) => {
                return Some(format!(
                    "there is no attribute `{}`{}",
                    keys.join("."),
                    hint(key, properties.keys().map(String::as_str))
                ));
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
            at += 1 + bytes[at + 1..]
                .iter()
                .position(|other| *other == byte)
                .map_or(bytes.len() - at - 1, |length| length + 1);
            before = byte;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let length = bytes[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
                .count();
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

    fn lost(source: &str) -> Vec<String> {
        let schema = "version: 1\nattributes: { type: object, properties: { a: { type: object, default: {}, properties: { port: { type: integer } } } } }";
        let files = [("schema.yml".into(), schema.to_owned())].into_iter().collect();
        let schema = Schema::load(&super::super::Folder { origin: String::new(), files }).unwrap();
        lost_paths(source, &schema)
            .into_iter()
            .map(|lost| format!("{}: {}", lost.line, lost.message))
            .collect()
    }

    #[test]
    fn follows_names_that_stand_for_attributes() {
        assert_eq!(
            lost("{% set x = attributes.a %}\n{{ x.prot }}"),
            ["2: there is no attribute `a.prot`; did you mean `port`?"]
        );
        assert!(lost("{% set x = attributes.a %}{{ x.port }}{{ attributes.a.port }}").is_empty());
    }

    #[test]
    fn a_name_of_the_templates_own_hides_the_common_one() {
        assert!(lost("{% for node in roles.x %}{{ node.anything }}{% endfor %}").is_empty());
        assert_eq!(
            lost("{% for node in nodes %}{{ node.nam }}{% endfor %}"),
            ["1: `node` has no `nam`; did you mean `name`?"]
        );
    }

    #[test]
    fn finds_paths_in_tags_only() {
        let source =
            "a.b {{ node.name }}\n{% if attributes.x.y == \"node.z\" %}{# node.q #}{{ v | attributes.not }}";
        let expected = vec![
            (1, "node.name".to_owned()),
            (2, "if".to_owned()),
            (2, "attributes.x.y".to_owned()),
            (2, "v".to_owned()),
        ];
        assert_eq!(paths(source), expected);
    }
}
