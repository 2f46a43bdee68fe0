//! `corosync.conf` with names for the things in it: nodes, links, crypto, quorum, timeouts.
//!
//! In: the generic tree. Out: typed accessors over it, and the tree itself for everything they do not cover. Never
//! loses a key: the tree is kept whole, and what is rendered is the tree.

use std::collections::BTreeMap;
use std::fmt;

use super::parse::{ParseError, parse};
use super::tree::Section;

/// `totem.token` when the file has none, in milliseconds (corosync.conf(5), 3.1).
pub(super) const DEFAULT_TOKEN_MS: u32 = 3000;
/// `totem.token_coefficient` when the file has none, in milliseconds (corosync.conf(5)).
pub(super) const DEFAULT_TOKEN_COEFFICIENT_MS: u32 = 650;
/// Links that knet can have (`INTERFACE_MAX`, corosync.conf(5) "link_mode").
pub(super) const MAX_LINKS: u8 = 8;

/// How corosync moves packets (`totem.transport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Kronosnet: several links, encryption. The default of corosync 3.
    Knet,
    /// UDP unicast.
    Udpu,
    /// UDP multicast.
    Udp,
}

impl Transport {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Knet => "knet",
            Self::Udpu => "udpu",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One `nodelist { node { … } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// `name`; absent in old udpu configurations.
    pub name: Option<String>,
    /// `nodeid`; required with knet.
    pub nodeid: Option<u32>,
    /// `ringX_addr` by link number.
    pub addresses: BTreeMap<u8, String>,
    /// `quorum_votes` (1 when absent).
    pub quorum_votes: u32,
}

impl NodeEntry {
    /// What to call the node: its name, else its first address.
    #[must_use]
    pub fn label(&self) -> &str {
        let address = || self.addresses.values().next().map(String::as_str);
        self.name.as_deref().or_else(address).unwrap_or("(unnamed)")
    }

    fn of(section: &Section) -> Self {
        let addresses = (0..MAX_LINKS)
            .filter_map(|link| Some((link, section.get(&format!("ring{link}_addr"))?.to_owned())));
        Self {
            name: section.get("name").map(str::to_owned),
            nodeid: number(section.get("nodeid")),
            addresses: addresses.collect(),
            quorum_votes: number(section.get("quorum_votes")).unwrap_or(1),
        }
    }
}

/// One `totem { interface { … } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `linknumber` (or `ringnumber`, its old name); 0 when absent.
    pub linknumber: u8,
    /// All other keys, by name.
    pub options: BTreeMap<String, String>,
}

/// The `quorum { … }` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumConf {
    /// `provider`, in practice `corosync_votequorum`.
    pub provider: Option<String>,
    /// `expected_votes`; without it, the sum over the nodelist.
    pub expected_votes: Option<u32>,
    /// `two_node: 1`.
    pub two_node: bool,
    /// `wait_for_all` in effect: as written, else what `two_node` implies (votequorum(5)).
    pub wait_for_all: bool,
    /// `auto_tie_breaker: 1`.
    pub auto_tie_breaker: bool,
    /// `last_man_standing: 1`.
    pub last_man_standing: bool,
    /// `device { … }`.
    pub device: Option<QuorumDevice>,
}

/// `quorum { device { … } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDevice {
    /// `model`, in practice `net`.
    pub model: String,
    /// `votes`; calculated by votequorum when absent.
    pub votes: Option<u32>,
    /// `net.host`.
    pub host: Option<String>,
    /// `net.algorithm`.
    pub algorithm: Option<String>,
}

/// A `corosync.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorosyncConf {
    root: Section,
}

impl CorosyncConf {
    /// Reads the text of a `corosync.conf`.
    ///
    /// # Errors
    /// The first line that corosync itself would refuse, or a limit that was hit.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse(text).map(|root| Self { root })
    }

    /// A configuration made of the given tree.
    #[must_use]
    pub const fn from_tree(root: Section) -> Self {
        Self { root }
    }

    /// The whole file as a tree.
    #[must_use]
    pub const fn tree(&self) -> &Section {
        &self.root
    }

    /// The whole file as a tree, to be changed.
    pub fn tree_mut(&mut self) -> &mut Section {
        &mut self.root
    }

    /// The value at a path of section names ending in a key, like `quorum.device.model`. Of repeated sections the
    /// last that has the key counts, as in corosync.
    #[must_use]
    pub fn get<'a>(&'a self, path: &'a str) -> Option<&'a str> {
        fn find<'a>(section: &'a Section, path: &'a str) -> Option<&'a str> {
            match path.split_once('.') {
                None => section.get(path),
                Some((head, rest)) => section.sections(head).filter_map(|inner| find(inner, rest)).last(),
            }
        }
        find(&self.root, path)
    }

    /// `totem.cluster_name`.
    #[must_use]
    pub fn cluster_name(&self) -> Option<&str> {
        self.get("totem.cluster_name")
    }

    /// `totem.transport`; knet when absent or unknown to this library.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.get("totem.transport") {
            Some("udpu") => Transport::Udpu,
            Some("udp") => Transport::Udp,
            _ => Transport::Knet,
        }
    }

    /// `totem.config_version`; 0 when absent.
    #[must_use]
    pub fn config_version(&self) -> u64 {
        number(self.get("totem.config_version")).unwrap_or(0)
    }

    /// The nodes, in file order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeEntry> {
        self.node_sections().map(NodeEntry::of).collect()
    }

    pub(super) fn node_sections(&self) -> impl Iterator<Item = &Section> {
        self.root.sections("nodelist").flat_map(|list| list.sections("node"))
    }

    /// The `interface` sections, in file order.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Interface> {
        self.interface_sections()
            .map(|section| Interface {
                linknumber: link_number(section),
                options: interface_options(section),
            })
            .collect()
    }

    pub(super) fn interface_sections(&self) -> impl Iterator<Item = &Section> {
        self.root.sections("totem").flat_map(|totem| totem.sections("interface"))
    }

    /// The cipher and hash in effect (`crypto_cipher`, `crypto_hash`, or what `secauth: on` implies), or `None`
    /// when traffic is neither encrypted nor authenticated.
    #[must_use]
    pub fn crypto(&self) -> Option<(&str, &str)> {
        let secauth = self.get("totem.secauth") == Some("on");
        let cipher = self.get("totem.crypto_cipher").unwrap_or(if secauth { "aes256" } else { "none" });
        let hash = self.get("totem.crypto_hash").unwrap_or(if secauth { "sha256" } else { "none" });
        (cipher != "none" || hash != "none").then_some((cipher, hash))
    }

    /// `totem.token` as written (3000 when absent), in milliseconds.
    #[must_use]
    pub fn token_ms(&self) -> u32 {
        number(self.get("totem.token")).unwrap_or(DEFAULT_TOKEN_MS)
    }

    /// The token timeout that corosync uses, in milliseconds: with three nodes and more, `token_coefficient` is added
    /// for each node beyond the second (corosync.conf(5) "token_coefficient").
    #[must_use]
    pub fn effective_token_ms(&self) -> u32 {
        let coefficient = number(self.get("totem.token_coefficient")).unwrap_or(DEFAULT_TOKEN_COEFFICIENT_MS);
        let extra = u32::try_from(self.node_sections().count()).unwrap_or(u32::MAX).saturating_sub(2);
        self.token_ms().saturating_add(extra.saturating_mul(coefficient))
    }

    /// `totem.consensus` in milliseconds; 1.2 times the effective token when absent (corosync.conf(5)).
    #[must_use]
    pub fn consensus_ms(&self) -> u32 {
        let token = u64::from(self.effective_token_ms());
        number(self.get("totem.consensus")).unwrap_or(u32::try_from(token * 6 / 5).unwrap_or(u32::MAX))
    }

    /// The `quorum` section.
    #[must_use]
    pub fn quorum(&self) -> QuorumConf {
        let flag = |path: &str| number::<u32>(self.get(path)).map(|value| value != 0);
        let two_node = flag("quorum.two_node").unwrap_or(false);
        let device =
            self.get("quorum.device.model").filter(|model| !model.is_empty()).map(|model| QuorumDevice {
                model: model.to_owned(),
                votes: number(self.get("quorum.device.votes")),
                host: self.get("quorum.device.net.host").map(str::to_owned),
                algorithm: self.get("quorum.device.net.algorithm").map(str::to_owned),
            });
        QuorumConf {
            provider: self.get("quorum.provider").map(str::to_owned),
            expected_votes: number(self.get("quorum.expected_votes")),
            two_node,
            wait_for_all: flag("quorum.wait_for_all").unwrap_or(two_node),
            auto_tie_breaker: flag("quorum.auto_tie_breaker").unwrap_or(false),
            last_man_standing: flag("quorum.last_man_standing").unwrap_or(false),
            device,
        }
    }
}

impl fmt::Display for CorosyncConf {
    /// The text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

pub(super) fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

pub(super) fn link_number(interface: &Section) -> u8 {
    number(interface.get("linknumber")).or_else(|| number(interface.get("ringnumber"))).unwrap_or(0)
}

pub(super) fn interface_options(interface: &Section) -> BTreeMap<String, String> {
    interface
        .entries
        .iter()
        .filter_map(|entry| match entry {
            super::tree::Entry::Key { name, value } if name != "linknumber" && name != "ringnumber" => {
                Some((name.clone(), value.clone()))
            }
            _ => None,
        })
        .collect()
}
