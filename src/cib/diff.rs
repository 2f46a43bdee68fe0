//! What must change in a live CIB so that it holds what is wanted, and nothing of other people is touched.
//!
//! In: the live CIB; the desired objects (a [`Cib`] that holds those and nothing else); whose they are. Out: a
//! [`CibDiff`]: the changes for people, the objects of others, what is in the way, the CIB that would result, and the
//! patch that makes it so.
//!
//! # Who owns what
//! A tag in the CIB (`<tag id="hactl">`) names the ids of everything that hactl made. The units of ownership are the
//! objects with an id right below `resources`, `constraints`, `fencing-topology`, `acls`, `tags`, `alerts` (with all
//! that is in them), sets that carry a rule, and, in sets that are shared by nature (cluster properties, defaults,
//! node attributes), each nvpair by itself. A set that hactl made is remembered too, and goes when it is empty.
//!
//! - Not ours, not wanted: left alone and listed in [`CibDiff::foreign`].
//! - Ours, not wanted any more: removed. Ours, changed by somebody: put back, as a whole.
//! - Wanted, there already, not ours: adopted if it is what is wanted; otherwise a [`Conflict`], and no patch is made
//!   (unless [`Ownership::adopt`] names it).
//! - A reference that would lead nowhere (a constraint of somebody else on a resource that goes) is a conflict too:
//!   the schema does not allow it.
//! - Order counts where Pacemaker looks at it (members of groups, resource sets); elsewhere it does not.

use std::collections::BTreeSet;

use super::between::patch_between;
use super::change::{ObjectChange, ObjectRef};
use super::merge::{Merge, arrange};
use super::model::{Cib, Section};
use super::patch::CibPatch;
use super::secret::Reveal;
use super::units::{DesiredError, Ids, check_desired, is_unit_section, tag_refs};
use super::xml::{Element, Node};

/// The id of the tag that remembers what hactl made.
pub const OWNER_TAG: &str = "hactl";

/// Whose objects are whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The id of the tag in the CIB that names what is ours.
    pub tag: String,
    /// Ids of objects that are taken over although hactl did not make them: changed where they differ from what is
    /// wanted, removed where they are not wanted.
    pub adopt: BTreeSet<String>,
}

impl Default for Ownership {
    fn default() -> Self {
        Self { tag: OWNER_TAG.to_owned(), adopt: BTreeSet::new() }
    }
}

/// Something in the live CIB that is in the way of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What is wanted.
    pub object: ObjectRef,
    /// What is in the way.
    pub why: ConflictReason,
}

/// Why a wanted object cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConflictReason {
    /// The object exists, was not made by hactl, and differs.
    #[error("it exists already, was not made by hactl and differs in: {}", .0.join(", "))]
    ForeignDiffers(Vec<String>),
    /// An object of another kind has the id.
    #[error("its id `{id}` is taken by {by}")]
    IdTaken {
        /// The id.
        id: String,
        /// The object that has it.
        by: ObjectRef,
    },
    /// It names an object that would not be there.
    #[error("it refers to `{id}`, which {}", if *.removed { "is to be removed" } else { "does not exist" })]
    Dangling {
        /// The id it refers to.
        id: String,
        /// Whether the object is there now.
        removed: bool,
    },
    /// A shared set has the same name under another id, with another value.
    #[error("`{name}` is set to something else by nvpair `{by}` in the same set, which hactl did not make")]
    NameTaken {
        /// The property's name.
        name: String,
        /// The id of the nvpair that has it.
        by: String,
    },
}

/// The difference between a live CIB and what is wanted of it.
#[derive(Debug, Clone)]
pub struct CibDiff {
    /// What changes, object by object, sorted by section and id.
    pub changes: Vec<ObjectChange>,
    /// Objects that are there, not wanted, and not ours: they stay.
    pub foreign: Vec<ObjectRef>,
    /// What is in the way. While there is something, there is no patch.
    pub conflicts: Vec<Conflict>,
    /// Attributes of nodes that the CIB does not have yet: set by a later plan, once the node has joined.
    pub deferred: Vec<ObjectRef>,
    /// The CIB as it will be, with markers in place of the secrets that `desired` has markers for. Objects of others
    /// stand in it as they are, passwords included: [`Cib::redacted`] is what may be shown.
    pub target: Cib,
    /// What to send, if anything.
    pub patch: Option<CibPatch>,
}

impl CibDiff {
    /// Whether the live CIB is as wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patch.is_none() && self.conflicts.is_empty() && self.deferred.is_empty()
    }
}

/// Compares a live CIB with what is wanted.
///
/// `reveal` knows the secrets whose markers stand in `desired`; the results hold the markers, never the secrets.
///
/// # Errors
/// When `desired` is not something that could stand in a CIB: an object without an id, an id used twice or no XML id,
/// a character that XML cannot hold, an object called like the owner's tag.
pub fn diff(
    live: &Cib,
    desired: &Cib,
    ownership: &Ownership,
    reveal: Reveal<'_>,
) -> Result<CibDiff, DesiredError> {
    check_desired(desired, &ownership.tag)?;
    let owned = live.object(Section::Tags, &ownership.tag).map(tag_refs).unwrap_or_default();
    let mut target = live.skeleton();
    let mut merge = Merge::new(ownership, &owned, reveal);
    for section in Section::ALL {
        let wanted = desired.section(section);
        let present = live.section(section).is_some();
        if wanted.is_none() && !present {
            continue;
        }
        let empty = Element::new(section.as_str());
        let before = live.section(section).unwrap_or(&empty);
        let wanted = wanted.unwrap_or(&empty);
        let merged = if is_unit_section(section) {
            merge.units(section, before, wanted)
        } else if section == Section::Nodes {
            merge.nodes(before, wanted)
        } else {
            merge.sets(section, before, wanted)
        };
        put_section(&mut target, section, present, before, merged);
    }
    let after = Ids::of(&target);
    merge.id_conflicts(live, desired, &after);
    merge.dangling(live, &target, &after);
    let kept = merge.ours.clone();
    remember(&mut target, live, &ownership.tag, &kept);
    let Merge { mut changes, mut foreign, mut conflicts, mut deferred, .. } = merge;
    changes.sort_by(|a, b| a.object.cmp(&b.object));
    foreign.sort();
    deferred.sort();
    conflicts.sort_by(|a, b| a.object.cmp(&b.object));
    let patch = if conflicts.is_empty() { patch_between(live, &target, reveal) } else { None };
    Ok(CibDiff { changes, foreign, conflicts, deferred, target, patch })
}

/// Puts a merged section into the target: sections that the CIB does not need come and go with what is in them.
fn put_section(target: &mut Cib, section: Section, present: bool, before: &Element, merged: Element) {
    let emptied = merged.children.is_empty() && !before.children.is_empty() && !section.is_required();
    if emptied {
        target.remove_section(section);
    } else if present || !merged.children.is_empty() {
        *target.section_mut(section) = merged;
    }
}

/// Writes the owner's tag: the ids of all that is ours, sorted; no tag when nothing is.
fn remember(target: &mut Cib, live: &Cib, tag: &str, ours: &BTreeSet<String>) {
    let was = live.object(Section::Tags, tag);
    if was.is_none() && ours.is_empty() {
        return;
    }
    if ours.is_empty() {
        let tags = target.section_mut(Section::Tags);
        tags.children.retain(|node| node.as_element().is_none_or(|element| element.id() != Some(tag)));
        if tags.children.is_empty() {
            target.remove_section(Section::Tags);
        }
        return;
    }
    let refs = ours.iter().map(|id| Element::new("obj_ref").with("id", id));
    let wanted = Element::new("tag").with("id", tag).with_children(refs);
    let merged = was.map_or_else(|| wanted.clone(), |was| arrange(was, &wanted, &super::secret::nothing));
    let tags = target.section_mut(Section::Tags);
    let place = tags.children.iter_mut().find_map(|node| match node {
        Node::Element(element) if element.name == "tag" && element.id() == Some(tag) => Some(element),
        _ => None,
    });
    match place {
        Some(element) => *element = merged,
        None => tags.children.push(Node::Element(merged)),
    }
}
