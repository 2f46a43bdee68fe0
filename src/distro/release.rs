//! The releases that hactl knows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::facts::OsRelease;

/// A release of a distribution on which every barclamp of ours was checked. Ordered as it is listed to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Distro {
    /// Debian 12 "bookworm": corosync 3.1.7, Pacemaker 2.1.5.
    Debian12,
    /// Debian 13 "trixie": corosync 3.1.9, Pacemaker 3.0.0.
    Debian13,
}

/// A node runs something that hactl does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not supported; supported are {}", listed())]
pub struct UnsupportedDistro {
    /// What it runs, in the words of its `os-release`, or what was written in place of a release.
    pub found: String,
}

fn listed() -> String {
    let names: Vec<&str> = Distro::ALL.iter().map(|distro| distro.pretty()).collect();
    match names.as_slice() {
        [init @ .., last] if !init.is_empty() => format!("{} and {last}", init.join(", ")),
        _ => names.join(""),
    }
}

impl Distro {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::Debian12, Self::Debian13];
    /// What is assumed of a node that nobody has looked at (`hactl render` without facts).
    pub const ASSUMED: Self = Self::Debian12;

    /// The release that a node runs. Derivatives are not guessed at: their package names and versions are their own.
    ///
    /// # Errors
    /// It is none that hactl knows; the error lists those that it knows.
    pub fn of(os: &OsRelease) -> Result<Self, UnsupportedDistro> {
        let known =
            Self::ALL.into_iter().find(|distro| distro.id() == os.id && distro.version() == os.version_id);
        known.ok_or_else(|| {
            let found = if os.pretty_name.is_empty() {
                format!("{} {}", os.id, os.version_id).trim().to_owned()
            } else {
                os.pretty_name.clone()
            };
            UnsupportedDistro { found }
        })
    }

    /// `ID` of its `os-release`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Debian12 | Self::Debian13 => "debian",
        }
    }

    /// `VERSION_ID` of its `os-release`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Debian12 => "12",
            Self::Debian13 => "13",
        }
    }

    /// Its name in barclamps: `debian-12`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Debian12 => "debian-12",
            Self::Debian13 => "debian-13",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn pretty(self) -> &'static str {
        match self {
            Self::Debian12 => "Debian 12",
            Self::Debian13 => "Debian 13",
        }
    }

    /// What it is called in a [`DistroTable`](super::DistroTable), most specific first: `debian-12`, `debian`, `default`.
    #[must_use]
    pub fn table_keys(self) -> [&'static str; 3] {
        [self.key(), self.id(), super::table::DEFAULT_KEY]
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

impl FromStr for Distro {
    type Err = UnsupportedDistro;

    /// Parses `debian-12`.
    fn from_str(text: &str) -> Result<Self, UnsupportedDistro> {
        let known = Self::ALL.into_iter().find(|distro| distro.key() == text);
        known.ok_or_else(|| UnsupportedDistro { found: format!("`{text}`") })
    }
}

impl TryFrom<String> for Distro {
    type Error = UnsupportedDistro;

    fn try_from(text: String) -> Result<Self, UnsupportedDistro> {
        text.parse()
    }
}

impl From<Distro> for String {
    fn from(distro: Distro) -> Self {
        distro.key().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(id: &str, version_id: &str, pretty_name: &str) -> OsRelease {
        OsRelease {
            id: id.to_owned(),
            version_id: version_id.to_owned(),
            id_like: Vec::new(),
            pretty_name: pretty_name.to_owned(),
        }
    }

    #[test]
    fn knows_its_releases_by_os_release_and_by_key() {
        let bookworm = os("debian", "12", "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(Distro::of(&bookworm), Ok(Distro::Debian12));
        for distro in Distro::ALL {
            assert_eq!(distro.key().parse(), Ok(distro));
            assert_eq!(Distro::of(&os(distro.id(), distro.version(), "")), Ok(distro));
        }
    }

    #[test]
    fn refuses_others_and_lists_what_it_supports() {
        let error = Distro::of(&os("rocky", "9.4", "Rocky Linux 9.4")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Rocky Linux 9.4 is not supported; supported are Debian 12 and Debian 13"
        );
        let sid = Distro::of(&os("debian", "", "")).unwrap_err();
        assert!(sid.to_string().starts_with("debian is not supported"), "{sid}");
    }
}
