//! A barclamp's folder as text in memory: what all further stages read from.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;

use super::error::{BarclampError, Location};

/// Largest file of a barclamp in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Most files of a barclamp.
pub(super) const MAX_FILES: usize = 2000;
/// How deep folders may nest.
const MAX_DEPTH: usize = 12;

/// The files of one barclamp by path inside its folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder for people: its path, or `embedded:NAME`.
    pub origin: String,
    /// The files.
    pub files: BTreeMap<Utf8PathBuf, String>,
}

impl Folder {
    /// Reads a folder from disk. Hidden files are left out.
    ///
    /// # Errors
    /// Something cannot be read, is not UTF-8, or is beyond a limit.
    pub fn read(path: &Utf8Path) -> Result<Self, BarclampError> {
        let mut files = BTreeMap::new();
        read_into(path, Utf8Path::new(""), 0, &mut files)?;
        Ok(Self { origin: path.to_string(), files })
    }

    /// The files whose path begins with this folder, by path below it.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a Utf8Path, &'a str)> + 'a {
        self.files
            .iter()
            .filter_map(move |(path, text)| Some((path.strip_prefix(folder).ok()?, text.as_str())))
            .filter(|(path, _)| !path.as_str().is_empty())
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, file: &str) -> Option<&str> {
        self.files.get(Utf8Path::new(file)).map(String::as_str)
    }

    /// A place in a file of this folder.
    #[must_use]
    pub fn location(
        &self,
        file: impl Into<Utf8PathBuf>,
        line: Option<u64>,
        column: Option<u64>,
    ) -> Box<Location> {
        Box::new(Location { folder: self.origin.clone(), file: file.into(), line, column })
    }

    /// An error in a file of this folder.
    #[must_use]
    pub fn error(&self, file: &str, line: Option<u64>, message: impl Into<String>) -> BarclampError {
        BarclampError::Source {
            location: self.location(file, line, None),
            message: message.into(),
            help: None,
        }
    }

    /// Reads a file as YAML.
    ///
    /// # Errors
    /// It is not there, is not YAML, or does not have the wanted shape; with line and column.
    pub fn yaml<T: DeserializeOwned>(&self, file: &str) -> Result<T, BarclampError> {
        let text = self.text(file).ok_or_else(|| self.error(file, None, "the file is missing"))?;
        self.parse_yaml(file, text)
    }

    /// Reads a file as YAML, if there is one.
    ///
    /// # Errors
    /// As [`Self::yaml`].
    pub fn yaml_if_any<T: DeserializeOwned + Default>(&self, file: &str) -> Result<T, BarclampError> {
        self.text(file).map_or_else(|| Ok(T::default()), |text| self.parse_yaml(file, text))
    }

    fn parse_yaml<T: DeserializeOwned>(&self, file: &str, text: &str) -> Result<T, BarclampError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            let message = error.without_snippet().to_string();
            // The position is in the location already.
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            BarclampError::Source {
                location: self.location(file, place.map(|at| at.line()), place.map(|at| at.column())),
                message,
                help: None,
            }
        })
    }
}

fn read_into(
    root: &Utf8Path,
    inside: &Utf8Path,
    depth: usize,
    files: &mut BTreeMap<Utf8PathBuf, String>,
) -> Result<(), BarclampError> {
    let folder = root.join(inside);
    let unreadable = |path: &Utf8Path, why: &dyn std::fmt::Display| BarclampError::Unreadable {
        path: path.to_owned(),
        why: why.to_string(),
    };
    if depth > MAX_DEPTH {
        return Err(unreadable(&folder, &format!("folders are nested deeper than {MAX_DEPTH}")));
    }
    let entries = folder.read_dir_utf8().map_err(|error| unreadable(&folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&folder, &error))?;
        let name = entry.file_name();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let path = inside.join(name);
        let metadata = entry.path().metadata().map_err(|error| unreadable(entry.path(), &error))?;
        if metadata.is_dir() {
            read_into(root, &path, depth + 1, files)?;
            continue;
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(unreadable(entry.path(), &format!("it is larger than {MAX_FILE_BYTES} bytes")));
        }
        if files.len() >= MAX_FILES {
            return Err(unreadable(root, &format!("it has more than {MAX_FILES} files")));
        }
        let text = std::fs::read_to_string(entry.path()).map_err(|error| unreadable(entry.path(), &error))?;
        files.insert(path, text);
    }
    Ok(())
}
