//! What the units of ownership are, and what a desired state must be like.

use std::collections::{BTreeSet, HashMap};

use super::change::ObjectRef;
use super::model::{Cib, Section};
use super::xml::{Element, is_valid_id, unstorable};

/// Why a desired state cannot stand in a CIB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// An element that needs an id has none.
    #[error("<{element}> in {section} has no id")]
    NoId {
        /// The section.
        section: Section,
        /// The element's name.
        element: String,
    },
    /// An id that XML does not allow.
    #[error(
        "`{id}` cannot be an id: it must begin with a letter or `_` and hold only letters, digits, `_`, `-`, `.`"
    )]
    BadId {
        /// The id.
        id: String,
    },
    /// An id that is used twice.
    #[error("the id `{id}` is used twice")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// A value that Pacemaker would not keep as it is.
    #[error("`{attribute}` of `{object}` holds {what}, which Pacemaker cannot store")]
    Unstorable {
        /// The object.
        object: String,
        /// The attribute, or the parameter.
        attribute: String,
        /// What it holds.
        what: &'static str,
    },
    /// An object with the id of the owner's tag.
    #[error("`{id}` is the id of the tag that remembers what hactl made; nothing else can be called so")]
    OwnerTag {
        /// The id.
        id: String,
    },
}

/// Whether the children of a section are owned one by one.
pub(super) const fn is_unit_section(section: Section) -> bool {
    matches!(
        section,
        Section::Resources
            | Section::Constraints
            | Section::FencingTopology
            | Section::Acls
            | Section::Tags
            | Section::Alerts
    )
}

/// Whether a set of nvpairs may hold those of several owners: one that has nothing but nvpairs in it. A set with a
/// rule means something as a whole.
pub(super) fn is_shared_set(set: &Element) -> bool {
    set.attr("id-ref").is_none() && set.elements().all(|child| child.name == "nvpair" && child.id().is_some())
}

/// The ids that a tag names.
pub(super) fn tag_refs(tag: &Element) -> BTreeSet<String> {
    tag.named("obj_ref").filter_map(|reference| reference.id().map(str::to_owned)).collect()
}

/// Whether the `id` of such an element is no XML id: it names another object, a user, or a node by its number.
fn is_reference(element: &Element) -> bool {
    matches!(element.name.as_str(), "obj_ref" | "resource_ref" | "role" | "acl_target" | "node")
}

/// Where each id of a configuration stands.
pub(super) struct Ids<'a> {
    /// By id: the section, and the unit (or child of the section) that it is in.
    pub(super) units: HashMap<&'a str, (Section, &'a Element)>,
    /// Ids that occur more than once.
    pub(super) twice: Vec<&'a str>,
}

impl<'a> Ids<'a> {
    pub(super) fn of(cib: &'a Cib) -> Self {
        let mut found = Self { units: HashMap::new(), twice: Vec::new() };
        for section in Section::ALL {
            for unit in cib.section(section).into_iter().flat_map(Element::elements) {
                for element in unit.walk().filter(|element| !is_reference(element)) {
                    if let Some(id) = element.id()
                        && found.units.insert(id, (section, unit)).is_some()
                    {
                        found.twice.push(id);
                    }
                }
            }
        }
        found
    }

    /// The unit that an id is in.
    pub(super) fn unit(&self, id: &str) -> Option<ObjectRef> {
        self.units.get(id).map(|(section, unit)| ObjectRef::of(*section, unit))
    }
}

pub(super) fn check_desired(desired: &Cib, tag: &str) -> Result<(), DesiredError> {
    if let Some(id) = Ids::of(desired).twice.first() {
        return Err(DesiredError::DuplicateId { id: (*id).to_owned() });
    }
    for section in Section::ALL {
        for unit in desired.section(section).into_iter().flat_map(Element::elements) {
            let no_id = || DesiredError::NoId { section, element: unit.name.clone() };
            let name = unit.id().ok_or_else(no_id)?;
            if name == tag {
                return Err(DesiredError::OwnerTag { id: name.to_owned() });
            }
            for element in unit.walk() {
                for (attribute, value) in &element.attrs {
                    if let Some(what) = unstorable(value) {
                        let attribute = element.attr("name").unwrap_or(attribute).to_owned();
                        return Err(DesiredError::Unstorable { object: name.to_owned(), attribute, what });
                    }
                }
                match element.id() {
                    Some(id) if !is_reference(element) && !is_valid_id(id) => {
                        return Err(DesiredError::BadId { id: id.to_owned() });
                    }
                    None if element.name == "nvpair" && element.attr("id-ref").is_none() => {
                        return Err(no_id());
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
