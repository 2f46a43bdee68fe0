//! Sets of name and value.

use std::collections::BTreeMap;

use super::id_part;
use crate::cib::xml::Element;

/// Names and values, in the order of the names.
pub(super) type Pairs = BTreeMap<String, String>;

/// An `<nvpair>`; its id is that of its set with the name added.
pub(super) fn nvpair(set: &str, name: &str, value: &str) -> Element {
    Element::new("nvpair")
        .with("id", format!("{set}-{}", id_part(name)))
        .with("name", name)
        .with("value", value)
}

/// A set of the given kind (`instance_attributes`, `meta_attributes`, `utilization`) that belongs to `owner`, or
/// nothing when it would be empty.
pub(super) fn set(kind: &str, owner: &str, pairs: &Pairs) -> Option<Element> {
    if pairs.is_empty() {
        return None;
    }
    let id = format!("{owner}-{kind}");
    let nvpairs = pairs.iter().map(|(name, value)| nvpair(&id, name, value));
    Some(Element::new(kind).with("id", &id).with_children(nvpairs))
}
