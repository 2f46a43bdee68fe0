//! A `drbd.conf` or `*.res` file.

use std::fmt;

use super::model::{ModelError, Resource};
use super::modernise::{Generation, Modernised, modernise};
use super::options::{Options, Sections};
use super::parse::{ParseError, parse};
use super::tree::{Entry, Rendered, sections};

/// What applies to all resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Common {
    /// `global { … }`.
    pub global: Options,
    /// `common { … }`.
    pub sections: Sections,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrbdConf {
    entries: Vec<Entry>,
}

impl DrbdConf {
    /// Reads the text of a `drbd.conf`.
    ///
    /// # Errors
    /// The first place that cannot be read, or a limit that was hit.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse(text).map(|entries| Self { entries })
    }

    /// A file made of these entries.
    #[must_use]
    pub const fn from_entries(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// The whole file as a tree.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The patterns of files that are included here.
    pub fn includes(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Statement(statement) if statement.keyword.is("include") => {
                statement.values.first().map(super::word::Word::text)
            }
            _ => None,
        })
    }

    /// What applies to all resources, by this file.
    #[must_use]
    pub fn common(&self) -> Common {
        let mut common = Common::default();
        for section in sections(&self.entries, "global") {
            common.global.read(section);
        }
        for section in sections(&self.entries, "common") {
            for entry in &section.body {
                if let Entry::Section(inner) = entry {
                    common.sections.read(inner);
                }
            }
        }
        common
    }

    /// The resources that are not skipped, in file order. A file of DRBD 8.3 or older wants [`DrbdConf::modernised`]
    /// first.
    ///
    /// # Errors
    /// The first value that is not what must stand there.
    pub fn resources(&self) -> Result<Vec<Resource>, ModelError> {
        sections(&self.entries, "resource").map(Resource::read).collect()
    }

    /// The same in the words of that generation: `syncer` sections, flags that begin with `no-`, a `protocol` outside
    /// of `net`, and the other changes since 8.0.
    #[must_use]
    pub fn modernised(&self, generation: Generation) -> Modernised {
        modernise(&self.entries, generation)
    }
}

impl fmt::Display for DrbdConf {
    /// The text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rendered(&self.entries).fmt(f)
    }
}
