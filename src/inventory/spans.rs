//! Where in the files a value of the inventory stands.
//!
//! In: a JSON pointer (RFC 6901) into the merged inventory. Out: a place. For errors found after loading.

use camino::Utf8Path;

use super::diagnostic::{Diagnostic, Span};
use super::source::{Position, Sources};
use super::tree::{Node, Value};

/// Finds the places of values in a loaded inventory.
#[derive(Debug, Clone)]
pub struct Spans {
    sources: Sources,
    root: Node,
}

impl Spans {
    pub(super) fn new(sources: Sources, root: Node) -> Self {
        Self { sources, root }
    }

    /// The texts that the places refer to.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The merged tree.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// The place of the value at this pointer; where the value is a mapping or a list, of the key that it stands
    /// under. If there is no such value, the place of the closest thing around it that exists.
    #[must_use]
    pub fn value(&self, pointer: &str) -> Option<Span> {
        self.find(pointer).and_then(Node::blame)
    }

    /// The place of the key that the value at this pointer stands under (for "unknown attribute").
    #[must_use]
    pub fn key(&self, pointer: &str) -> Option<Span> {
        self.find(pointer).and_then(|node| node.owner.or(node.span))
    }

    /// The place of the value at this pointer as file, line and column.
    #[must_use]
    pub fn position(&self, pointer: &str) -> Option<Position> {
        self.value(pointer).and_then(|span| self.sources.position(span))
    }

    /// The folder that relative paths in the value at this pointer start from.
    #[must_use]
    pub fn base(&self, pointer: &str) -> Option<&Utf8Path> {
        let span = self.value(pointer)?;
        self.sources.get(span.source).map(|source| source.base.as_path())
    }

    /// A mistake that stands at this pointer.
    #[must_use]
    pub fn diagnostic(&self, pointer: &str, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, message).at(self.value(pointer))
    }

    /// The deepest node on the way to the pointer.
    fn find(&self, pointer: &str) -> Option<&Node> {
        let mut node = &self.root;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let child = match &node.value {
                Value::Mapping(_) => node.get(&token).map(|entry| &entry.value),
                Value::Sequence(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                Value::Scalar { .. } => None,
            };
            match child {
                Some(child) => node = child,
                None => break,
            }
        }
        Some(node)
    }
}

/// A pointer with one more token.
#[must_use]
pub fn child_pointer(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}
