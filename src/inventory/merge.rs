//! Several files become one tree.
//!
//! In: the trees of the files, in the order in which they were read. Out: one tree. Never decides between two
//! values for one thing: that is a mistake, and both places are named.

use super::diagnostic::Diagnostic;
use super::tree::{Entry, Node, Value, quoted};

/// Merges `from` into `into`: mappings key by key, lists of constraints one after the other, nothing else.
pub(super) fn merge(into: &mut Node, from: Node, problems: &mut Vec<Diagnostic>) {
    merge_at(into, from, &mut Vec::new(), problems);
}

fn merge_at(into: &mut Node, from: Node, path: &mut Vec<String>, problems: &mut Vec<Diagnostic>) {
    if from.is_null() {
        return;
    }
    if into.is_null() {
        *into = from;
        return;
    }
    let (into_blame, from_blame) = (into.blame(), from.blame());
    match (&mut into.value, from.value) {
        (Value::Mapping(entries), Value::Mapping(others)) => {
            for other in others {
                merge_entry(entries, other, path, problems);
            }
        }
        (Value::Sequence(items), Value::Sequence(others)) if is_constraints(path) => items.extend(others),
        // Every file may say which format it has; whether it is the right one is checked later.
        (Value::Scalar { text: a, .. }, Value::Scalar { text: b, .. }) if path == &["version"] && *a == b => {
        }
        (_, _) => {
            let what = path.last().map_or_else(|| "the inventory".to_owned(), |key| quoted(key));
            problems.push(
                Diagnostic::new("merge-conflict", format!("{what} is given in two files"))
                    .at(from_blame)
                    .also(into_blame, "first here")
                    .help("mappings of several files are merged, but each value may be given once only"),
            );
        }
    }
}

fn merge_entry(
    entries: &mut Vec<Entry>,
    other: Entry,
    path: &mut Vec<String>,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(existing) = entries.iter_mut().find(|entry| entry.key == other.key) else {
        entries.push(other);
        return;
    };
    path.push(other.key);
    merge_at(&mut existing.value, other.value, path, problems);
    path.pop();
}

/// Constraints are a list of independent items: `clusters.NAME.constraints`.
fn is_constraints(path: &[String]) -> bool {
    matches!(path, [clusters, _, constraints] if clusters == "clusters" && constraints == "constraints")
}
