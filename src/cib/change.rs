//! Changes of a CIB in words: which object, which field, from what to what.
//!
//! In: an object before and after. Out: [`ObjectChange`]s whose values can be shown to anyone: secrets are masked, by
//! the marker they stand for and by the name of the parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::model::Section;
use super::secret::{MASK, Reveal, has_marker, is_secret_name, masked, same_value};
use super::xml::{Element, Node};

/// Names an object of the CIB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Where it is.
    pub section: Section,
    /// The name of its element (`primitive`, `rsc_location`, `nvpair` …).
    pub kind: String,
    /// Its id; empty for an element that has none.
    pub id: String,
}

impl ObjectRef {
    pub(super) fn of(section: Section, element: &Element) -> Self {
        Self { section, kind: element.name.clone(), id: element.id().unwrap_or_default().to_owned() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id.is_empty() {
            write!(f, "<{}>", self.kind)
        } else {
            write!(f, "{} `{}`", self.kind, self.id)
        }
    }
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is made.
    Add,
    /// It is changed.
    Modify,
    /// It is removed.
    Remove,
    /// It is already as wanted; from now on it is ours.
    Adopt,
}

impl ChangeKind {
    /// `+`, `~`, `-` or `=`.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Modify => '~',
            Self::Remove => '-',
            Self::Adopt => '=',
        }
    }
}

/// One field of an object that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Where in the object, such as `instance_attributes.ip` or `operations.monitor@timeout`; empty for the place
    /// of the object itself.
    pub field: String,
    /// The value before, masked if it is a secret; `None` when there was none.
    pub old: Option<String>,
    /// The value after, masked if it is a secret; `None` when there is none.
    pub new: Option<String>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ {}: {new}", self.field),
            (Some(old), None) => write!(f, "- {}: {old}", self.field),
            (Some(old), Some(new)) => write!(f, "~ {}: {old} -> {new}", self.field),
            (None, None) => write!(f, "~ {}", self.field),
        }
    }
}

/// One object that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectChange {
    /// What happens.
    pub kind: ChangeKind,
    /// The object.
    pub object: ObjectRef,
    /// Its fields: all of them when it is made or removed, the changed ones when it is changed.
    pub fields: Vec<FieldChange>,
}

impl fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.sign(), self.object)?;
        for field in &self.fields {
            write!(f, "\n    {field}")?;
        }
        Ok(())
    }
}

/// The fields of an object, by name: its attributes, its nvpairs, and those of what is in it.
fn fields(object: &Element) -> BTreeMap<String, (String, bool)> {
    let mut out = BTreeMap::new();
    collect(object, "", &mut out);
    out
}

fn insert(out: &mut BTreeMap<String, (String, bool)>, field: String, value: &str, secret: bool) {
    let mut key = field.clone();
    let mut nth = 1;
    while out.contains_key(&key) {
        nth += 1;
        key = format!("{field}#{nth}");
    }
    out.insert(key, (value.to_owned(), secret));
}

fn collect(element: &Element, path: &str, out: &mut BTreeMap<String, (String, bool)>) {
    let secret_pair = element.attr("name").is_some_and(is_secret_name);
    for (name, value) in &element.attrs {
        // The id is the object's name, and those inside follow from it.
        if name != "id" {
            let field = if path.is_empty() { name.clone() } else { format!("{path}@{name}") };
            insert(out, field, value, name == "value" && secret_pair);
        }
    }
    for child in element.elements() {
        if child.name == "nvpair"
            && let (Some(name), Some(value)) = (child.attr("name"), child.attr("value"))
        {
            let field = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            insert(out, field, value, is_secret_name(name));
            continue;
        }
        let label = label(child, element);
        let inner = if path.is_empty() { label } else { format!("{path}.{label}") };
        if child.attrs.iter().all(|(name, _)| name == "id") && child.children.is_empty() {
            insert(out, inner, child.id().unwrap_or_default(), false);
        } else {
            collect(child, &inner, out);
        }
    }
}

/// What to call an element inside an object: an operation by its name, others by what they are, and by id where there
/// are several.
fn label(child: &Element, parent: &Element) -> String {
    if child.name == "op" {
        let name = child.attr("name").unwrap_or("op");
        let interval = child.attr("interval").filter(|interval| !matches!(*interval, "0" | "0s"));
        return interval.map_or_else(|| name.to_owned(), |interval| format!("{name}[{interval}]"));
    }
    let several =
        parent.named(&child.name).nth(1).is_some() || matches!(child.name.as_str(), "primitive" | "group");
    match child.id() {
        Some(id) if several => format!("{}[{id}]", child.name),
        _ => child.name.clone(),
    }
}

/// The fields in which an object differs before and after.
pub(super) fn fields_of_difference(
    before: Option<&Element>,
    after: Option<&Element>,
    reveal: Reveal<'_>,
) -> Vec<FieldChange> {
    let old = before.map(fields).unwrap_or_default();
    let new = after.map(fields).unwrap_or_default();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    if let (Some(before), Some(after)) = (before, after)
        && before.name != after.name
    {
        let (old, new) = (Some(before.name.clone()), Some(after.name.clone()));
        changes.push(FieldChange { field: "kind".to_owned(), old, new });
    }
    for name in names {
        let (from, to) = (old.get(name), new.get(name));
        if let (Some((from, _)), Some((to, _))) = (from, to)
            && same_value(from, to, reveal)
        {
            continue;
        }
        // Secret by its name, or because the wanted value is made of one: then the live one is one too.
        let secret = [from, to].into_iter().flatten().any(|(value, secret)| *secret || has_marker(value));
        let show = |value: &String| match (has_marker(value), secret) {
            (true, _) => masked(value),
            (false, true) => MASK.to_owned(),
            (false, false) => value.clone(),
        };
        changes.push(FieldChange {
            field: name.clone(),
            old: from.map(|(value, _)| show(value)),
            new: to.map(|(value, _)| show(value)),
        });
    }
    if changes.is_empty()
        && let (Some(before), Some(after)) = (before, after)
    {
        changes.push(order_change(before, after));
    }
    changes
}

/// For objects that hold the same in another order: the order.
fn order_change(before: &Element, after: &Element) -> FieldChange {
    let order = |element: &Element| {
        let ids = element.walk().skip(1).filter_map(|child| child.id().map(str::to_owned));
        ids.collect::<Vec<_>>().join(" ")
    };
    let comments = |element: &Element| element.children.iter().any(|node| matches!(node, Node::Comment(_)));
    let field = if comments(before) { "order and comments" } else { "order" };
    FieldChange { field: field.to_owned(), old: Some(order(before)), new: Some(order(after)) }
}
