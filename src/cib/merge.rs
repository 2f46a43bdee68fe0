//! Section by section, what becomes of each object when what is wanted meets what is there.
//!
//! In: a section live and desired, and who owns what. Out: the section as it will be, with the changes, foreign
//! objects and conflicts noted on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::between::same_attrs;
use super::change::{ChangeKind, ObjectChange, ObjectRef, fields_of_difference};
use super::diff::{Conflict, ConflictReason, Ownership};
use super::model::{Cib, Section};
use super::secret::{Reveal, has_marker, same_value};
use super::units::{Ids, is_shared_set};
use super::xml::{Element, Node};

/// Cluster properties that Pacemaker writes itself.
const PACEMAKERS_OWN: [&str; 6] = [
    "dc-version",
    "have-watchdog",
    "cluster-infrastructure",
    "cluster-name",
    "last-lrm-refresh",
    "dc-deadtime",
];

/// What is known while the sections are merged.
pub(super) struct Merge<'a> {
    ownership: &'a Ownership,
    owned: &'a BTreeSet<String>,
    reveal: Reveal<'a>,
    /// The ids that are ours afterwards.
    pub(super) ours: BTreeSet<String>,
    pub(super) changes: Vec<ObjectChange>,
    pub(super) foreign: Vec<ObjectRef>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) deferred: Vec<ObjectRef>,
}

/// What becomes of one object that is there.
enum Fate {
    Stays,
    Becomes(Element),
    Goes,
}

impl<'a> Merge<'a> {
    pub(super) const fn new(
        ownership: &'a Ownership,
        owned: &'a BTreeSet<String>,
        reveal: Reveal<'a>,
    ) -> Self {
        Self {
            ownership,
            owned,
            reveal,
            ours: BTreeSet::new(),
            changes: Vec::new(),
            foreign: Vec::new(),
            conflicts: Vec::new(),
            deferred: Vec::new(),
        }
    }

    /// A section whose children are objects.
    pub(super) fn units(&mut self, section: Section, live: &Element, desired: &Element) -> Element {
        let mut wanted = by_id(desired);
        let mut merged = live.bare();
        for node in &live.children {
            let Node::Element(object) = node else {
                merged.children.push(node.clone());
                continue;
            };
            if section == Section::Tags && object.id() == Some(self.ownership.tag.as_str()) {
                merged.children.push(node.clone());
                continue;
            }
            let fate = self.fate(section, object, object.id().and_then(|id| wanted.remove(id)));
            match fate {
                Fate::Stays => merged.children.push(node.clone()),
                Fate::Becomes(object) => merged.children.push(Node::Element(object)),
                Fate::Goes => {}
            }
        }
        for object in
            desired.elements().filter(|object| object.id().is_some_and(|id| wanted.contains_key(id)))
        {
            self.add(section, object);
            merged.children.push(Node::Element(object.clone()));
        }
        merged
    }

    fn fate(&mut self, section: Section, live: &Element, wanted: Option<&Element>) -> Fate {
        let object = ObjectRef::of(section, live);
        let owned = self.owned.contains(&object.id);
        let taken_over = self.ownership.adopt.contains(&object.id);
        let Some(wanted) = wanted else {
            if owned || taken_over {
                let fields = fields_of_difference(Some(live), None, self.reveal);
                self.changes.push(ObjectChange { kind: ChangeKind::Remove, object, fields });
                return Fate::Goes;
            }
            self.foreign.push(object);
            return Fate::Stays;
        };
        if is_as_wanted(live, wanted, self.reveal) {
            self.ours.insert(object.id.clone());
            if !owned {
                self.changes.push(ObjectChange { kind: ChangeKind::Adopt, object, fields: Vec::new() });
            }
            let secrets =
                wanted.walk().any(|element| element.attrs.iter().any(|(_, value)| has_marker(value)));
            return if secrets { Fate::Becomes(arrange(live, wanted, self.reveal)) } else { Fate::Stays };
        }
        let fields = fields_of_difference(Some(live), Some(wanted), self.reveal);
        if !owned && !taken_over {
            let names = fields.into_iter().map(|change| change.field).collect();
            self.conflicts.push(Conflict { object, why: ConflictReason::ForeignDiffers(names) });
            return Fate::Stays;
        }
        self.ours.insert(object.id.clone());
        self.changes.push(ObjectChange { kind: ChangeKind::Modify, object, fields });
        Fate::Becomes(arrange(live, wanted, self.reveal))
    }

    fn add(&mut self, section: Section, wanted: &Element) {
        let object = ObjectRef::of(section, wanted);
        self.ours.insert(object.id.clone());
        let fields = fields_of_difference(None, Some(wanted), self.reveal);
        self.changes.push(ObjectChange { kind: ChangeKind::Add, object, fields });
    }

    /// A section (or node) whose children are sets of nvpairs.
    pub(super) fn sets(&mut self, section: Section, live: &Element, desired: &Element) -> Element {
        let mut wanted = by_id(desired);
        let mut merged = live.bare();
        for node in &live.children {
            let Node::Element(set) = node else {
                merged.children.push(node.clone());
                continue;
            };
            let counterpart = set.id().and_then(|id| wanted.remove(id));
            let shared = is_shared_set(set) && counterpart.is_none_or(is_shared_set);
            if !shared {
                match self.fate(section, set, counterpart) {
                    Fate::Stays => merged.children.push(node.clone()),
                    Fate::Becomes(set) => merged.children.push(Node::Element(set)),
                    Fate::Goes => {}
                }
                continue;
            }
            let empty = Element::new(&set.name);
            let inside = self.pairs(section, set, counterpart.unwrap_or(&empty));
            let set_is_ours = set.id().is_some_and(|id| self.owned.contains(id));
            if inside.elements().next().is_none() && set_is_ours && counterpart.is_none() {
                continue;
            }
            if set_is_ours && counterpart.is_some() {
                self.ours.extend(set.id().map(str::to_owned));
            }
            merged.children.push(Node::Element(inside));
        }
        for set in desired.elements().filter(|set| set.id().is_some_and(|id| wanted.contains_key(id))) {
            if is_shared_set(set) {
                self.ours.extend(set.id().map(str::to_owned));
                let empty = set.bare();
                merged.children.push(Node::Element(self.pairs(section, &empty, set)));
            } else {
                self.add(section, set);
                merged.children.push(Node::Element(set.clone()));
            }
        }
        merged
    }

    /// A shared set: every nvpair has an owner of its own.
    fn pairs(&mut self, section: Section, live: &Element, desired: &Element) -> Element {
        let mut wanted = by_id(desired);
        let mut merged = live.bare();
        let mut foreign_names: BTreeMap<&str, &Element> = BTreeMap::new();
        for node in &live.children {
            let Node::Element(pair) = node else {
                merged.children.push(node.clone());
                continue;
            };
            let counterpart = pair.id().and_then(|id| wanted.remove(id));
            let mine = pair.id().is_some_and(|id| self.owned.contains(id));
            let name = pair.attr("name").unwrap_or_default();
            if counterpart.is_none() && !mine {
                foreign_names.insert(name, pair);
                if PACEMAKERS_OWN.contains(&name) {
                    merged.children.push(node.clone());
                    continue;
                }
            }
            match self.fate(section, pair, counterpart) {
                Fate::Stays => merged.children.push(node.clone()),
                Fate::Becomes(pair) => merged.children.push(Node::Element(pair)),
                Fate::Goes => {}
            }
        }
        for pair in desired.elements().filter(|pair| pair.id().is_some_and(|id| wanted.contains_key(id))) {
            let same_name = foreign_names.get(pair.attr("name").unwrap_or_default());
            match same_name {
                None => {
                    self.add(section, pair);
                    merged.children.push(Node::Element(pair.clone()));
                }
                Some(other) => self.name_taken(section, pair, other),
            }
        }
        merged
    }

    /// Somebody set the same property under another id: fine if the value is the wanted one, a conflict otherwise.
    fn name_taken(&mut self, section: Section, wanted: &Element, other: &Element) {
        let value = |pair: &Element| pair.attr("value").unwrap_or_default().to_owned();
        if !same_value(&value(other), &value(wanted), self.reveal) {
            let name = wanted.attr("name").unwrap_or_default().to_owned();
            let why = ConflictReason::NameTaken { name, by: other.id().unwrap_or_default().to_owned() };
            self.conflicts.push(Conflict { object: ObjectRef::of(section, wanted), why });
        }
    }

    /// Nodes are Pacemaker's; of what is in them, each nvpair has its owner. A node is found by its name or its id.
    pub(super) fn nodes(&mut self, live: &Element, desired: &Element) -> Element {
        let mut merged = live.bare();
        let same = |a: &Element, b: &Element| match (a.attr("uname"), b.attr("uname")) {
            (Some(a), Some(b)) => a == b,
            _ => a.id() == b.id(),
        };
        for node in &live.children {
            let Node::Element(before) = node else {
                merged.children.push(node.clone());
                continue;
            };
            let empty = Element::new(&before.name);
            let wanted = desired.elements().find(|wanted| same(before, wanted)).unwrap_or(&empty);
            merged.children.push(Node::Element(self.sets(Section::Nodes, before, wanted)));
        }
        for wanted in desired.elements() {
            if !live.elements().any(|before| same(before, wanted)) {
                // Made by Pacemaker when the node joins; one made beforehand would be fenced for being away.
                for pair in wanted.elements().flat_map(Element::elements) {
                    self.deferred.push(ObjectRef::of(Section::Nodes, pair));
                }
            }
        }
        merged
    }

    /// References that would lead nowhere in the result and do not already.
    pub(super) fn dangling(&mut self, live: &Cib, target: &Cib, after: &Ids<'_>) {
        for section in [Section::Resources, Section::Constraints, Section::Acls] {
            for unit in target.section(section).into_iter().flat_map(Element::elements) {
                let Some(id) = references(unit).find(|id| !after.units.contains_key(id)) else { continue };
                let object = ObjectRef::of(section, unit);
                let removed = Ids::of(live).units.contains_key(id);
                let before = live.object(section, &object.id);
                let already = before.is_some_and(|before| references(before).any(|found| found == id));
                if removed || !already {
                    let why = ConflictReason::Dangling { id: id.to_owned(), removed };
                    self.conflicts.push(Conflict { object, why });
                }
            }
        }
    }

    /// Ids that would be used twice in the result.
    pub(super) fn id_conflicts(&mut self, live: &Cib, desired: &Cib, after: &Ids<'_>) {
        if after.twice.is_empty() {
            return;
        }
        let (before, wanted) = (Ids::of(live), Ids::of(desired));
        for id in after.twice.iter().filter(|id| !before.twice.contains(id)) {
            if let (Some(object), Some(by)) = (wanted.unit(id), before.unit(id)) {
                let why = ConflictReason::IdTaken { id: (*id).to_owned(), by };
                self.conflicts.push(Conflict { object, why });
            }
        }
    }
}

/// What elements of a unit refer to, beyond themselves.
fn references(unit: &Element) -> impl Iterator<Item = &str> {
    const ATTRIBUTES: [&str; 7] = ["rsc", "with-rsc", "first", "then", "template", "id-ref", "reference"];
    unit.walk().flat_map(|element| {
        let by_id = matches!(element.name.as_str(), "resource_ref" | "role");
        let attributes = ATTRIBUTES.iter().filter_map(|name| element.attr(name));
        // `first` and `then` are references in constraints only; nothing else has attributes called so.
        attributes.chain(by_id.then(|| element.id()).flatten())
    })
}

fn by_id(parent: &Element) -> HashMap<&str, &Element> {
    parent.elements().filter_map(|element| Some((element.id()?, element))).collect()
}

/// Whether Pacemaker looks at the order of an element's children.
fn order_counts(element: &Element) -> bool {
    !matches!(
        element.name.as_str(),
        "instance_attributes"
            | "meta_attributes"
            | "utilization"
            | "cluster_property_set"
            | "operations"
            | "primitive"
            | "template"
            | "tag"
            | "op"
    )
}

/// What identifies a child: its name, and its id or its place among those without.
type Key<'a> = (&'a str, Option<&'a str>, usize);

fn identified(parent: &Element) -> Vec<(Key<'_>, &Element)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keyed = Vec::new();
    for element in parent.elements() {
        let name = element.name.as_str();
        let key = match element.id() {
            Some(id) => (name, Some(id), 0),
            None => {
                let nth = seen.entry(name).or_insert(0);
                *nth += 1;
                (name, None, *nth)
            }
        };
        keyed.push((key, element));
    }
    keyed
}

/// Whether a live object is what is wanted: attributes in any order, children in any order where it does not count,
/// comments aside.
pub(super) fn is_as_wanted(live: &Element, wanted: &Element, reveal: Reveal<'_>) -> bool {
    if live.name != wanted.name || !same_attrs(live, wanted, reveal) {
        return false;
    }
    let in_order = live.elements().count() == wanted.elements().count()
        && live.elements().zip(wanted.elements()).all(|(a, b)| is_as_wanted(a, b, reveal));
    if in_order || order_counts(live) {
        return in_order;
    }
    let mut rest: BTreeMap<_, _> = identified(live).into_iter().collect();
    identified(wanted)
        .into_iter()
        .all(|(key, wanted)| rest.remove(&key).is_some_and(|live| is_as_wanted(live, wanted, reveal)))
        && rest.is_empty()
}

/// What is wanted, arranged as what is there wherever order does not count, so that the patch is small. Values are
/// those that are wanted, so that markers stand for secrets also where nothing changes.
pub(super) fn arrange(live: &Element, wanted: &Element, reveal: Reveal<'_>) -> Element {
    if live.name != wanted.name {
        return wanted.clone();
    }
    let mut merged = Element { name: wanted.name.clone(), attrs: wanted.attrs.clone(), children: Vec::new() };
    let place = |name: &str| live.attrs.iter().position(|(found, _)| found == name).unwrap_or(usize::MAX);
    merged.attrs.sort_by_key(|(name, _)| place(name));
    let before: BTreeMap<Key<'_>, &Element> = identified(live).into_iter().collect();
    let after = identified(wanted);
    if order_counts(wanted) && !is_as_wanted(live, wanted, reveal) {
        merged.children = after.iter().map(|(key, wanted)| child(&before, key, wanted, reveal)).collect();
        return merged;
    }
    let mut rest: BTreeMap<Key<'_>, &Element> = after.iter().copied().collect();
    let keys = identified(live);
    let mut keys = keys.iter();
    for node in &live.children {
        if let Node::Comment(_) = node {
            merged.children.push(node.clone());
        } else if let Some((key, _)) = keys.next()
            && let Some(wanted) = rest.remove(key)
        {
            merged.children.push(child(&before, key, wanted, reveal));
        }
    }
    let new = after.iter().filter(|(key, _)| rest.contains_key(key));
    merged.children.extend(new.map(|(key, wanted)| child(&before, key, wanted, reveal)));
    merged
}

fn child(before: &BTreeMap<Key<'_>, &Element>, key: &Key<'_>, wanted: &Element, reveal: Reveal<'_>) -> Node {
    let live = before.get(key);
    Node::Element(live.map_or_else(|| wanted.clone(), |live| arrange(live, wanted, reveal)))
}
