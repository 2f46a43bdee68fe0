//! The names that every stage passes around: nodes, clusters, roles, barclamps.
//!
//! In: strings a person wrote. Out: types that can only hold a valid name. Never touches anything else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest node name in bytes: what a host name label may have (RFC 1123).
pub const MAX_NODE_NAME_BYTES: usize = 63;
/// Longest name of anything else (cluster, role, barclamp, claim) in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a string is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {what}: {why}")]
pub struct NameError {
    /// What was to be named, in words ("node name").
    pub what: &'static str,
    /// The offending text.
    pub name: String,
    /// The rule it breaks.
    pub why: &'static str,
}

fn check(what: &'static str, name: &str, max: usize, dots: bool) -> Result<(), NameError> {
    let fail = |why| Err(NameError { what, name: name.to_owned(), why });
    if name.is_empty() {
        return fail("it is empty");
    }
    if name.len() > max {
        return fail("it is too long");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return fail("it must begin with a letter or a digit");
    }
    if name.ends_with(['-', '.', '_']) {
        return fail("it must end with a letter or a digit");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (dots && c == '.');
    if !name.chars().all(allowed) {
        return fail("only letters, digits, `-`, `_` (and `.` in node names) are allowed");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:expr, $dots:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Parses a name.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                check($what, &name, $max, $dots)?;
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A node's name: what `uname -n` prints on it, and its name in corosync and Pacemaker.
    NodeName, "node name", MAX_NODE_NAME_BYTES, true
);
name!(
    /// A cluster's name in the inventory; also corosync's `totem.cluster_name`.
    ClusterName, "cluster name", MAX_NAME_BYTES, false
);
name!(
    /// A role that a node plays for a barclamp.
    RoleName, "role name", MAX_NAME_BYTES, false
);
name!(
    /// The name of a barclamp: its folder's name.
    BarclampName, "barclamp name", MAX_NAME_BYTES, false
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_hosts_are_called() {
        for good in ["a", "node1", "ctl-1.example.org", "n_2", "9"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_what_a_shell_or_corosync_would_trip_over() {
        for bad in ["", "-a", "a b", "a;b", "a/b", "a.", "ü", &"x".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
        assert!(ClusterName::new("a.b").is_err());
    }
}
