//! All barclamps that there are: those in this program and those in folders that the user names.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use rust_embed::RustEmbed;
use serde_json::Value;

use super::bundle::Barclamp;
use super::error::{AttributeError, BarclampError};
use super::family::Family;
use super::folder::Folder;
use super::manifest::MANIFEST_FILE;
use super::schema::Attributes;
use crate::inventory::closest;
use crate::names::BarclampName;

#[derive(RustEmbed)]
#[folder = "barclamps/"]
struct EmbeddedBarclamps;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct EmbeddedTemplates;

/// The barclamps, by name.
#[derive(Debug)]
pub struct Registry {
    barclamps: BTreeMap<BarclampName, Barclamp>,
}

impl Registry {
    /// The barclamps in this program.
    ///
    /// # Errors
    /// One of them is wrong: a defect of this program.
    pub fn embedded() -> Result<Self, Vec<BarclampError>> {
        Self::load(&[])
    }

    /// The barclamps in this program, and those in these folders: each is a barclamp itself or holds several. One
    /// with the name of another replaces it; later folders count more.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(paths: &[Utf8PathBuf]) -> Result<Self, Vec<BarclampError>> {
        let mut folders = embedded_folders().map_err(|error| vec![error])?;
        for path in paths {
            for folder in folders_at(path).map_err(|error| vec![error])? {
                let name = Utf8Path::new(&folder.origin).file_name().unwrap_or_default().to_owned();
                folders.insert(name, folder);
            }
        }
        Self::of_folders(folders, &shared_templates()?)
    }

    /// The barclamps of these folders, by their folder's name.
    fn of_folders(folders: BTreeMap<String, Folder>, shared: &Folder) -> Result<Self, Vec<BarclampError>> {
        let mut barclamps = BTreeMap::new();
        let mut errors = Vec::new();
        let (of_families, folders): (BTreeMap<_, _>, BTreeMap<_, _>) =
            folders.into_iter().partition(|(_, folder)| Family::is_one(folder));
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for (name, folder) in of_families {
            match Family::load(folder, &name) {
                Ok(family) => drop(families.insert(name, family)),
                Err(error) => errors.push(error),
            }
        }
        for (name, folder) in folders {
            match Barclamp::load(folder, &families, shared) {
                Ok(barclamp) if barclamp.manifest.name.as_str() == name => {
                    barclamps.insert(barclamp.manifest.name.clone(), barclamp);
                }
                Ok(barclamp) => {
                    let message =
                        format!("`name: {}` is not the name of its folder, `{name}`", barclamp.manifest.name);
                    errors.push(barclamp.folder.error(MANIFEST_FILE, None, message));
                }
                Err(more) => errors.extend(more),
            }
        }
        let registry = Self { barclamps };
        if errors.is_empty() {
            registry.check_references(&mut errors);
        }
        if errors.is_empty() { Ok(registry) } else { Err(errors) }
    }

    /// References from one barclamp to another.
    fn check_references(&self, errors: &mut Vec<BarclampError>) {
        for barclamp in self.iter() {
            for requirement in &barclamp.manifest.requires {
                if !self.iter().any(|other| other.manifest.satisfies(requirement)) {
                    let message = format!("`requires`: no barclamp is called or provides `{requirement}`");
                    errors.push(barclamp.folder.error(MANIFEST_FILE, None, message));
                }
            }
            for item in &barclamp.items {
                for reference in &item.after {
                    let Some(other) = &reference.barclamp else { continue };
                    let found =
                        self.barclamps.get(other.as_str()).and_then(|other| other.item(&reference.item));
                    if found.is_none() {
                        let message = format!(
                            "item `{}`: `after`: barclamp `{other}` has no item `{}`",
                            item.id, reference.item
                        );
                        errors.push(barclamp.folder_of(item.inherited).error(
                            super::item::RESOURCES_FILE,
                            Some(item.line),
                            message,
                        ));
                    }
                }
            }
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Barclamp> {
        self.barclamps.values()
    }

    /// One by its name.
    ///
    /// # Errors
    /// There is none of this name; the error says which one may have been meant.
    pub fn get(&self, name: &str) -> Result<&Barclamp, BarclampError> {
        self.barclamps.get(name).ok_or_else(|| {
            let known = || self.barclamps.keys().map(BarclampName::as_str);
            let help = match closest(name, known()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
            };
            BarclampError::Unknown { name: name.to_owned(), help: Some(help) }
        })
    }

    /// Attributes of a barclamp as the inventory has them, made ready: checked, with defaults, secrets as markers
    /// named after their place. `place` is the JSON pointer of the attributes in the inventory.
    ///
    /// # Errors
    /// The barclamp cannot be used, or every mistake in the attributes; `pointer` of each is relative to `place`.
    pub fn resolve(
        &self,
        name: &BarclampName,
        attributes: &Value,
        place: &str,
    ) -> Result<Attributes, Vec<BarclampError>> {
        let barclamp = self.get(name.as_str()).map_err(|error| vec![error])?;
        if let Some(reason) = &barclamp.manifest.unusable {
            return Err(vec![BarclampError::Unusable { name: name.clone(), reason: reason.clone() }]);
        }
        let wrap = |error: AttributeError| BarclampError::Attribute { name: name.clone(), error };
        barclamp.schema.resolve(attributes, place).map_err(|errors| errors.into_iter().map(wrap).collect())
    }

    /// The places of valid attributes that name a file of the machine that runs hactl, with the names. Whoever has the
    /// files puts their content there; that is what templates see.
    #[must_use]
    pub fn local_files(&self, name: &BarclampName, attributes: &Value) -> Vec<(String, String)> {
        let barclamp = self.get(name.as_str()).ok();
        barclamp.map(|barclamp| barclamp.schema.local_files(attributes)).unwrap_or_default()
    }
}

/// The templates that all barclamps may include as `shared/NAME`.
pub(super) fn shared_templates() -> Result<Folder, Vec<BarclampError>> {
    let mut files = BTreeMap::new();
    for path in EmbeddedTemplates::iter().filter(|path| !path.starts_with("lab/")) {
        if let Some(file) = EmbeddedTemplates::get(&path) {
            files.insert(
                Utf8PathBuf::from(path.as_ref()),
                text(&path, file.data.as_ref()).map_err(|error| vec![error])?,
            );
        }
    }
    Ok(Folder { origin: "embedded:templates".to_owned(), files })
}

fn text(path: &str, bytes: &[u8]) -> Result<String, BarclampError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|error| BarclampError::Unreadable { path: path.into(), why: error.to_string() })
}

fn embedded_folders() -> Result<BTreeMap<String, Folder>, BarclampError> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for path in EmbeddedBarclamps::iter() {
        let Some((name, inside)) = path.split_once('/') else { continue };
        let Some(file) = EmbeddedBarclamps::get(&path) else { continue };
        let origin = || Folder { origin: format!("embedded:{name}"), files: BTreeMap::new() };
        let folder = folders.entry(name.to_owned()).or_insert_with(origin);
        folder.files.insert(inside.into(), text(&path, file.data.as_ref())?);
    }
    Ok(folders)
}

/// The barclamps at a path: itself, or the folders in it.
fn folders_at(path: &Utf8Path) -> Result<Vec<Folder>, BarclampError> {
    let unreadable = |why: &dyn std::fmt::Display| BarclampError::Unreadable {
        path: path.to_owned(),
        why: why.to_string(),
    };
    // Its name is that of the folder, also when it was given as `.`.
    let path = &path.canonicalize_utf8().map_err(|error| unreadable(&error))?;
    if path.join(MANIFEST_FILE).exists() {
        return Ok(vec![Folder::read(path)?]);
    }
    let mut folders = Vec::new();
    for entry in path.read_dir_utf8().map_err(|error| unreadable(&error))? {
        let entry = entry.map_err(|error| unreadable(&error))?;
        if entry.path().join(MANIFEST_FILE).exists() {
            folders.push(Folder::read(entry.path())?);
        }
    }
    if folders.is_empty() {
        return Err(unreadable(&format!("neither it nor a folder in it has a {MANIFEST_FILE}")));
    }
    folders.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(folders)
}
