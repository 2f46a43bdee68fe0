//! The patch that turns one tree into another.
//!
//! In: the live CIB and the one that is wanted. Out: a [`CibPatch`] with as few operations as the format allows: an
//! element is addressed by name and id; where that is not possible (several siblings of one name without ids, or
//! an id that is no XML id), the nearest ancestor that can be addressed is replaced as a whole. Values are compared
//! with secrets spelled out, and written with their markers.

use std::collections::{HashMap, HashSet};

use super::model::Cib;
use super::patch::{CibPatch, PatchOp};
use super::secret::{Reveal, same_value};
use super::xml::{Element, Node};

/// The patch from `old` to `new`, or `None` when they do not differ. The counters of `<cib>` are left to Pacemaker,
/// and its other attributes (`validate-with`, `have-quorum`, `dc-uuid` …) are not touched either.
#[must_use]
pub fn patch_between(old: &Cib, new: &Cib, reveal: Reveal<'_>) -> Option<CibPatch> {
    let mut maker = Maker { reveal, ops: Vec::new() };
    // The root itself is always addressable; what its children cannot express has no place in a CIB.
    let whole = maker.children(old.root(), new.root(), "/cib");
    if whole.is_err() {
        maker.ops = replace_sections(old.root(), new.root(), reveal);
    }
    (!maker.ops.is_empty()).then(|| CibPatch { source: old.version(), ops: maker.ops })
}

/// An element that cannot be addressed must change: its parent is replaced instead.
struct Unaddressable;

struct Maker<'a> {
    reveal: Reveal<'a>,
    ops: Vec<PatchOp>,
}

/// The last resort: every child of the root that differs is replaced.
fn replace_sections(old: &Element, new: &Element, reveal: Reveal<'_>) -> Vec<PatchOp> {
    let mut ops = Vec::new();
    for before in old.elements() {
        if !new.elements().any(|after| same_tree(before, after, reveal)) {
            ops.push(PatchOp::Delete { path: format!("/cib/{}", before.name) });
        }
    }
    for (position, after) in new.children.iter().enumerate() {
        if let Node::Element(after) = after
            && !old.elements().any(|before| same_tree(before, after, reveal))
        {
            ops.push(PatchOp::Create { path: "/cib".to_owned(), position, element: after.clone() });
        }
    }
    ops
}

/// Whether two elements are the same, with attributes in any order.
pub(super) fn same_tree(live: &Element, wanted: &Element, reveal: Reveal<'_>) -> bool {
    live.name == wanted.name
        && same_attrs(live, wanted, reveal)
        && live.children.len() == wanted.children.len()
        && live.children.iter().zip(&wanted.children).all(|pair| match pair {
            (Node::Element(a), Node::Element(b)) => same_tree(a, b, reveal),
            (Node::Comment(a), Node::Comment(b)) => a == b,
            _ => false,
        })
}

pub(super) fn same_attrs(live: &Element, wanted: &Element, reveal: Reveal<'_>) -> bool {
    live.attrs.len() == wanted.attrs.len()
        && wanted.attrs.iter().enumerate().all(|(index, (name, value))| {
            // Mostly in the same order.
            let found = match live.attrs.get(index) {
                Some((same, found)) if same == name => Some(found.as_str()),
                _ => live.attr(name),
            };
            found.is_some_and(|found| same_value(found, value, reveal))
        })
}

/// What identifies a child among its siblings.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Key<'a> {
    Id(&'a str, &'a str),
    /// The n-th child without an id of that name.
    Nth(&'a str, usize),
    Comment(&'a str, usize),
}

fn keys(parent: &Element) -> Vec<Key<'_>> {
    let mut seen: HashMap<(bool, &str), usize> = HashMap::new();
    let mut count = |comment: bool, text| {
        let nth = seen.entry((comment, text)).or_insert(0);
        *nth += 1;
        *nth
    };
    parent
        .children
        .iter()
        .map(|node| match node {
            Node::Comment(text) => Key::Comment(text, count(true, text)),
            Node::Element(element) => match element.id() {
                Some(id) => Key::Id(&element.name, id),
                None => Key::Nth(&element.name, count(false, &element.name)),
            },
        })
        .collect()
}

impl Maker<'_> {
    /// The operations for the children of an element that stays.
    fn children(&mut self, old: &Element, new: &Element, path: &str) -> Result<(), Unaddressable> {
        let (old_keys, new_keys) = (keys(old), keys(new));
        let at: HashMap<Key<'_>, usize> =
            old_keys.iter().enumerate().map(|(index, key)| (*key, index)).collect();
        if at.len() != old_keys.len() {
            // Two children with one name and id: not a valid CIB, and not addressable.
            return if same_tree(old, new, self.reveal) { Ok(()) } else { Err(Unaddressable) };
        }
        let partners: Vec<Option<usize>> = new_keys.iter().map(|key| at.get(key).copied()).collect();
        let kept: HashSet<usize> = partners.iter().flatten().copied().collect();
        let staying = longest_increasing(&partners);
        let mut names: HashMap<&str, usize> = HashMap::new();
        for element in old.elements() {
            *names.entry(element.name.as_str()).or_insert(0) += 1;
        }
        let start = self.ops.len();
        let done = (|| {
            for (index, node) in old.children.iter().enumerate() {
                if !kept.contains(&index) {
                    self.ops.push(PatchOp::Delete { path: address(node, &names, path)? });
                }
            }
            for (position, (node, partner)) in new.children.iter().zip(&partners).enumerate() {
                match (node, partner) {
                    (Node::Comment(_), Some(old)) if staying.contains(old) => {}
                    // Comments can neither be created nor moved by a patch.
                    (Node::Comment(_), _) => return Err(Unaddressable),
                    (Node::Element(wanted), None) => self.ops.push(PatchOp::Create {
                        path: path.to_owned(),
                        position,
                        element: wanted.clone(),
                    }),
                    (Node::Element(wanted), Some(index)) => {
                        let live = &old.children[*index];
                        let replaced = self.element(live, wanted, &names, path, position)?;
                        if !replaced && !staying.contains(index) {
                            let path = address(live, &names, path)?;
                            self.ops.push(PatchOp::Move { path, position });
                        }
                    }
                }
            }
            Ok(())
        })();
        if done.is_err() {
            self.ops.truncate(start);
        }
        done
    }

    /// The operations for one child that is there before and after; true when it is replaced as a whole.
    fn element(
        &mut self,
        live: &Node,
        wanted: &Element,
        names: &HashMap<&str, usize>,
        parent: &str,
        position: usize,
    ) -> Result<bool, Unaddressable> {
        let Node::Element(before) = live else { return Err(Unaddressable) };
        if same_tree(before, wanted, self.reveal) {
            return Ok(false);
        }
        let path = address(live, names, parent)?;
        let start = self.ops.len();
        if !same_attrs(before, wanted, self.reveal) {
            self.ops.push(self.modify(before, wanted, path.clone()));
        }
        if self.children(before, wanted, &path).is_err() {
            self.ops.truncate(start);
            self.ops.push(PatchOp::Delete { path });
            self.ops.push(PatchOp::Create { path: parent.to_owned(), position, element: wanted.clone() });
            return Ok(true);
        }
        Ok(false)
    }

    fn modify(&self, before: &Element, wanted: &Element, path: String) -> PatchOp {
        let unset = before.attrs.iter().filter(|(name, _)| wanted.attr(name).is_none());
        let set = wanted.attrs.iter().filter(|(name, value)| {
            !before.attr(name).is_some_and(|live| same_value(live, value, self.reveal))
        });
        let attrs = unset
            .map(|(name, _)| (name.clone(), None))
            .chain(set.map(|(name, value)| (name.clone(), Some(value.clone()))))
            .collect();
        let result = Element { name: wanted.name.clone(), attrs: wanted.attrs.clone(), children: Vec::new() };
        PatchOp::Modify { path, attrs, result }
    }
}

/// The path of a child, if Pacemaker can find it: by id, or by being the only one of its name.
fn address(node: &Node, names: &HashMap<&str, usize>, parent: &str) -> Result<String, Unaddressable> {
    let Node::Element(element) = node else { return Err(Unaddressable) };
    match element.id() {
        Some(id) if is_plain(id) => Ok(format!("{parent}/{}[@id='{id}']", element.name)),
        None if names.get(element.name.as_str()) == Some(&1) => Ok(format!("{parent}/{}", element.name)),
        _ => Err(Unaddressable),
    }
}

/// Whether an id, also one that is not of our making (a node's number, for one), survives Pacemaker's way of reading a
/// path: no blanks, slashes, quotes or brackets.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && !id.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '[' | ']' | '"'))
}

/// Of the kept children (their old indices in new order), the largest set whose order does not change.
fn longest_increasing(partners: &[Option<usize>]) -> HashSet<usize> {
    // Patience sorting: `tails[n]` ends the best run of length n + 1.
    let sequence: Vec<usize> = partners.iter().flatten().copied().collect();
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(sequence.len());
    for (index, value) in sequence.iter().enumerate() {
        let place = tails.partition_point(|tail| sequence[*tail] < *value);
        before.push(place.checked_sub(1).map(|place| tails[place]));
        if place == tails.len() { tails.push(index) } else { tails[place] = index }
    }
    let mut staying = HashSet::with_capacity(tails.len());
    let mut at = tails.last().copied();
    while let Some(index) = at {
        staying.insert(sequence[index]);
        at = before[index];
    }
    staying
}
