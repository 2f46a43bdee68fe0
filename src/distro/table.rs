//! Something that differs between distributions, as a barclamp's data spells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Distro;

/// The key that stands for every distribution that is not named.
pub(super) const DEFAULT_KEY: &str = "default";

/// A value per distribution: by release (`debian-12`), by distribution (`debian`), or for all others (`default`).
/// The most specific one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, T>", into = "BTreeMap<String, T>")]
pub struct DistroTable<T: Clone> {
    values: BTreeMap<String, T>,
}

/// A table names a distribution that hactl does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not a distribution that hactl knows; write one of {known}")]
pub struct DistroTableError {
    /// The key.
    pub key: String,
    /// What may be written.
    pub known: String,
}

impl<T: Clone> DistroTable<T> {
    /// The value for a release, if there is one.
    #[must_use]
    pub fn get(&self, distro: Distro) -> Option<&T> {
        distro.table_keys().into_iter().find_map(|key| self.values.get(key))
    }

    /// All values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl<T: Clone> TryFrom<BTreeMap<String, T>> for DistroTable<T> {
    type Error = DistroTableError;

    fn try_from(values: BTreeMap<String, T>) -> Result<Self, DistroTableError> {
        let mut known: Vec<&str> = Distro::ALL.into_iter().flat_map(Distro::table_keys).collect();
        known.sort_unstable();
        known.dedup();
        match values.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Self { values }),
            Some(key) => Err(DistroTableError { key: key.clone(), known: known.join(", ") }),
        }
    }
}

impl<T: Clone> From<DistroTable<T>> for BTreeMap<String, T> {
    fn from(table: DistroTable<T>) -> Self {
        table.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keys: &[&str]) -> Result<DistroTable<String>, DistroTableError> {
        keys.iter()
            .map(|key| ((*key).to_owned(), format!("for {key}")))
            .collect::<BTreeMap<_, _>>()
            .try_into()
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let table = table(&["debian-13", "debian", "default"]).unwrap();
        assert_eq!(table.get(Distro::Debian12).unwrap(), "for debian");
        assert_eq!(table.get(Distro::Debian13).unwrap(), "for debian-13");
    }

    #[test]
    fn an_unknown_distribution_is_refused() {
        let error = table(&["debain"]).unwrap_err();
        assert!(error.to_string().contains("debian-12"), "{error}");
    }
}
