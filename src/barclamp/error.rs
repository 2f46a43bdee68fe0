//! What is wrong with a barclamp, or with what it was given, and where.

use std::fmt;

use camino::Utf8PathBuf;

use crate::names::{BarclampName, ClusterName};

/// A place in a file of a barclamp.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The barclamp's folder as it was given, or `embedded:NAME`.
    pub folder: String,
    /// The file inside it.
    pub file: Utf8PathBuf,
    /// Line, counted from 1, where it is known.
    pub line: Option<u64>,
    /// Column, counted from 1, where it is known.
    pub column: Option<u64>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder, self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// An attribute in the inventory that a barclamp's schema refuses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttributeError {
    /// Where it stands below the barclamp's attributes, as a JSON pointer: `/fencing/agent`; empty for all of them.
    pub pointer: String,
    /// Which kind of mistake, for programs: `unknown-key`, `missing-key`, `bad-value`, `secret`.
    pub code: &'static str,
    /// What is wrong, without full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the error is about the key rather than about what stands under it.
    pub at_key: bool,
}

impl AttributeError {
    pub(super) fn new(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into(), help: None, at_key: false }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn at_key(mut self) -> Self {
        self.at_key = true;
        self
    }
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "attributes" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// Why a barclamp could not be loaded, or declared nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BarclampError {
    /// A file of the barclamp is wrong.
    #[error("{location}: {message}{}", advice(help.as_deref()))]
    Source {
        /// Where.
        location: Box<Location>,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A folder or a file could not be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Which.
        path: Utf8PathBuf,
        /// What the system says.
        why: String,
    },
    /// No barclamp has this name.
    #[error("there is no barclamp `{name}`{}", advice(help.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// What may have been meant.
        help: Option<String>,
    },
    /// The barclamp cannot be used yet.
    #[error("barclamp `{name}` cannot be used: {reason}")]
    Unusable {
        /// Which.
        name: BarclampName,
        /// Why, in the words of its manifest.
        reason: String,
    },
    /// The barclamp needs another one that the cluster does not use.
    #[error("barclamp `{name}` requires `{requires}`, which cluster `{cluster}` does not use{}", advice(help.as_deref()))]
    Requires {
        /// Which.
        name: BarclampName,
        /// What it needs: a barclamp or what one provides.
        requires: String,
        /// The cluster.
        cluster: String,
        /// Which barclamp would satisfy it.
        help: Option<String>,
    },
    /// There are resources, and nothing that manages them.
    #[error(
        "cluster `{cluster}` has resources, but no barclamp that manages them (add `pacemaker` to its `barclamps`)"
    )]
    NoManager {
        /// The cluster.
        cluster: ClusterName,
    },
    /// Declarations wait for each other.
    #[error("in cluster `{cluster}` these wait for each other: {ids}")]
    Order {
        /// The cluster.
        cluster: ClusterName,
        /// The declarations.
        ids: String,
    },
    /// Barclamps require each other in a circle.
    #[error("the barclamps {0} require each other in a circle")]
    Circle(String),
    /// A node's distribution is none of the barclamp's.
    #[error("barclamp `{name}` does not support {distro} (node {node}); it supports {supported}")]
    Distro {
        /// Which.
        name: BarclampName,
        /// The node.
        node: String,
        /// What it runs.
        distro: String,
        /// What the barclamp supports.
        supported: String,
    },
    /// An attribute is wrong.
    #[error("barclamp `{name}`: {error}")]
    Attribute {
        /// Which.
        name: BarclampName,
        /// What is wrong.
        error: AttributeError,
    },
    /// What the barclamp declares for this cluster makes no sense.
    #[error("barclamp `{name}`, {what}: {message}")]
    Declaration {
        /// Which.
        name: BarclampName,
        /// Which item or template.
        what: String,
        /// What is wrong.
        message: String,
    },
}

impl BarclampError {
    /// The barclamp that it is about, if it is about what a cluster uses of it.
    #[must_use]
    pub fn barclamp(&self) -> Option<&BarclampName> {
        match self {
            Self::Unusable { name, .. }
            | Self::Requires { name, .. }
            | Self::Distro { name, .. }
            | Self::Attribute { name, .. }
            | Self::Declaration { name, .. } => Some(name),
            Self::Source { .. }
            | Self::Unreadable { .. }
            | Self::Unknown { .. }
            | Self::NoManager { .. }
            | Self::Order { .. }
            | Self::Circle(_) => None,
        }
    }
}

fn advice(help: Option<&str>) -> String {
    help.map(|help| format!(" ({help})")).unwrap_or_default()
}
