//! `barclamp.yml`: what a barclamp is called, what it needs, and what its roles are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::BarclampError;
use super::folder::Folder;
use crate::distro::Distro;
use crate::names::{BarclampName, RoleName};

/// The manifest's file.
pub(super) const MANIFEST_FILE: &str = "barclamp.yml";
/// Where a barclamp stands among the others unless it says otherwise.
const DEFAULT_ORDER: u32 = 50;

/// What a barclamp says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name: its folder's name.
    pub name: BarclampName,
    /// Its version, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// What it does, in a line.
    pub summary: String,
    /// Barclamps, or what barclamps provide, that the cluster must use as well.
    #[serde(default)]
    pub requires: BTreeSet<String>,
    /// What it provides, for `requires` of others. Its own name is always provided.
    #[serde(default)]
    pub provides: BTreeSet<String>,
    /// Its roles.
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Role>,
    /// The family whose attributes, roles, items, checks and templates it has as well.
    #[serde(default)]
    pub extends: Option<BarclampName>,
    /// Barclamps with a lower number declare first, where `requires` does not decide.
    #[serde(default = "default_order")]
    pub order: u32,
    /// The distributions on which it was checked.
    pub distros: BTreeSet<Distro>,
    /// Why it cannot be used, if so.
    #[serde(default)]
    pub unusable: Option<String>,
}

/// A role of a barclamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What nodes with this role do.
    pub summary: String,
    /// Who has it when the inventory gives it to no node.
    #[serde(default)]
    pub default: RoleDefault,
}

/// Who has a role that the inventory gives to no node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleDefault {
    /// Every node.
    #[default]
    All,
    /// The founder.
    Founder,
    /// Nobody.
    None,
}

fn default_order() -> u32 {
    DEFAULT_ORDER
}

impl Manifest {
    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// It is missing or wrong.
    pub fn load(folder: &Folder) -> Result<Self, BarclampError> {
        let manifest: Self = folder.yaml(MANIFEST_FILE)?;
        let line = |key: &str| {
            let text = folder.text(MANIFEST_FILE).unwrap_or_default();
            (1_u64..).zip(text.lines()).find(|(_, line)| line.starts_with(key)).map(|(number, _)| number)
        };
        let parts: Vec<&str> = manifest.version.split('.').collect();
        if parts.len() != 3 || !parts.iter().all(|part| part.parse::<u32>().is_ok()) {
            let message = format!("`{}` is not a version: write MAJOR.MINOR.PATCH", manifest.version);
            return Err(folder.error(MANIFEST_FILE, line("version"), message));
        }
        if manifest.distros.is_empty() {
            return Err(folder.error(MANIFEST_FILE, line("distros"), "no distribution is supported"));
        }
        let own = manifest.name.as_str();
        if manifest.requires.contains(own)
            || manifest.requires.iter().any(|name| manifest.provides.contains(name))
        {
            return Err(folder.error(
                MANIFEST_FILE,
                line("requires"),
                "it requires what it is or provides itself",
            ));
        }
        Ok(manifest)
    }

    /// Whether it satisfies a `requires` of another.
    #[must_use]
    pub fn satisfies(&self, requirement: &str) -> bool {
        self.name.as_str() == requirement || self.provides.contains(requirement)
    }
}
