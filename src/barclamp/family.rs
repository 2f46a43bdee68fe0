//! What several barclamps have in common: attributes, roles, items, checks and templates in a folder of its own.
//!
//! A folder whose manifest says `family: true` is no barclamp: it cannot be used by itself. A barclamp whose manifest says
//! `extends: NAME` has everything of that folder as if it stood in its own; what it has under the same name counts more
//! (templates, attributes), or is an error (items, checks).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::error::BarclampError;
use super::folder::Folder;
use super::manifest::{MANIFEST_FILE, Role};
use super::templates::TEMPLATES_FOLDER;
use crate::names::{BarclampName, RoleName};

/// The manifest of a family.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyManifest {
    /// Its name: its folder's name.
    name: BarclampName,
    /// What its barclamps have in common, in a line: for those who read the folder.
    #[serde(rename = "summary")]
    _summary: String,
    /// Always true.
    #[serde(rename = "family")]
    _family: bool,
    /// Roles that all its barclamps have.
    #[serde(default)]
    roles: BTreeMap<RoleName, Role>,
}

/// The one key of a manifest that tells a family from a barclamp; everything else is read later.
#[derive(Debug, Default, Deserialize)]
struct Peek {
    #[serde(default)]
    family: bool,
}

/// A family, loaded.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// Its files.
    pub(super) folder: Folder,
    /// Roles that all its barclamps have.
    pub(super) roles: BTreeMap<RoleName, Role>,
}

impl Family {
    /// Whether a folder says that it is one. A manifest that cannot be read is a barclamp's, which is refused with the
    /// reason.
    pub(super) fn is_one(folder: &Folder) -> bool {
        folder.yaml::<Peek>(MANIFEST_FILE).is_ok_and(|peek| peek.family)
    }

    /// Reads a family. Its items and templates are checked with each barclamp that extends it.
    ///
    /// # Errors
    /// Its manifest is wrong.
    pub(super) fn load(folder: Folder, name: &str) -> Result<Self, BarclampError> {
        let manifest: FamilyManifest = folder.yaml(MANIFEST_FILE)?;
        if manifest.name.as_str() != name {
            let message = format!("`name: {}` is not the name of its folder, `{name}`", manifest.name);
            return Err(folder.error(MANIFEST_FILE, None, message));
        }
        Ok(Self { folder, roles: manifest.roles })
    }

    /// The templates of a barclamp: its own and those of its family.
    pub(super) fn with_templates(family: Option<&Self>, folder: &Folder) -> Folder {
        let mut both = folder.clone();
        for (path, text) in family.iter().flat_map(|family| &family.folder.files) {
            if path.starts_with(TEMPLATES_FOLDER) {
                both.files.entry(path.clone()).or_insert_with(|| text.clone());
            }
        }
        both
    }
}

/// The schema of a family with that of a barclamp laid over it: mappings are merged, everything else replaces.
pub(super) fn laid_over(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            let mut both = base.clone();
            for (key, value) in over {
                let merged = both.get(key).map_or_else(|| value.clone(), |below| laid_over(below, value));
                both.insert(key.clone(), merged);
            }
            Value::Object(both)
        }
        _ => over.clone(),
    }
}
