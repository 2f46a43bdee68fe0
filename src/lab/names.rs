//! The names of everything that a lab makes, derived from the lab's name alone.
//!
//! In: a lab's name. Out: names of namespaces, control groups, interfaces, hardware addresses. Because nothing
//! has to be remembered, whatever a killed run left behind is found again. Never touches the machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::NodeName;

use super::error::LabError;

/// Longest name of a lab in bytes: it is part of machine names, which have 64.
pub(crate) const MAX_LAB_NAME_BYTES: usize = 20;
/// What nodes are called, in this order.
pub const NODE_NAMES: [&str; 16] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "omicron", "pi",
];

/// A lab's name: lower-case letters, digits and inner `-`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of all of the lab's kernel objects begin with. The final dot keeps `lab` and `lab2` apart.
    pub(crate) fn prefix(&self) -> String {
        format!("hactl-lab.{}.", self.0)
    }

    /// A node's network namespace and control group.
    pub(crate) fn object(&self, node: &NodeName) -> String {
        format!("{}{node}", self.prefix())
    }

    /// The network namespace with the bridges; no node can be called so.
    pub(crate) fn switch(&self) -> String {
        format!("{}_switch", self.prefix())
    }

    /// The control group of the fence device's daemon; no node can be called so.
    pub(crate) fn daemon(&self) -> String {
        format!("{}_fenced", self.prefix())
    }

    /// The node's name for systemd-nspawn, unique on the host.
    pub(crate) fn machine(&self, node: &NodeName) -> String {
        format!("hactl-{}-{node}", self.0)
    }

    /// The host's end of the cable to the first network. Interface names have 15 bytes.
    pub(crate) fn uplink(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        format!("hl{:02x}{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3], digest[4])
    }

    /// A stable hardware address, so that neighbours' caches stay right when a node is switched on again.
    pub(crate) fn mac(&self, node: &NodeName, network: usize) -> String {
        let digest = Sha256::digest(format!("{}/{node}/{network}", self.0));
        // 02: locally administered, unicast.
        format!(
            "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
            digest[0], digest[1], digest[2], digest[3], digest[4]
        )
    }

    /// Where the search for free subnets begins: 0 to 255.
    pub(crate) fn preferred_subnet(&self) -> u8 {
        Sha256::digest(self.0.as_bytes())[31]
    }
}

impl FromStr for LabName {
    type Err = LabError;

    fn from_str(name: &str) -> Result<Self, LabError> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.chars().all(inner)
            && name.len() <= MAX_LAB_NAME_BYTES;
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(LabError::Usage(format!(
                "`{name}` is not a name for a lab: lower-case letters, digits and inner `-`, beginning with a \
                 letter, at most {MAX_LAB_NAME_BYTES}"
            )))
        }
    }
}

impl TryFrom<String> for LabName {
    type Error = LabError;
    fn try_from(name: String) -> Result<Self, LabError> {
        name.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_would_break_a_kernel_object() {
        for bad in ["", "a.b", "A", "-a", "a-", "1a", "a/b", "averyveryverylongname1"] {
            assert!(bad.parse::<LabName>().is_err(), "{bad}");
        }
        assert!("lab-2".parse::<LabName>().is_ok());
    }

    #[test]
    fn one_lab_never_owns_anothers_objects() {
        let lab: LabName = "lab".parse().unwrap();
        let other: LabName = "lab2".parse().unwrap();
        let node = NodeName::new("alpha").unwrap();
        assert!(!other.object(&node).starts_with(&lab.prefix()));
        assert_ne!(lab.uplink(), other.uplink());
        assert!(lab.uplink().len() <= 15);
        assert_ne!(lab.mac(&node, 0), lab.mac(&node, 1));
    }
}
