//! The file that describes a volume, the same on all its nodes: `/etc/hactl/replica/NAME.yml`.
//!
//! In: YAML with DRBD's option names and units. Out: [`Settings`], checked. Which node this is, the host's name says, or
//! the caller. Nothing is looked up: addresses are literal.
//!
//! ```yaml
//! version: 1
//! nodes:
//!   alpha: { id: 0, address: 10.0.0.1:7789, disk: /dev/vdb }
//!   beta:  { id: 1, address: 10.0.0.2:7789, disk: /dev/vdb }
//! net: { shared-secret-file: /etc/hactl/replica/r0.key }
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use replica::config::{
    ConfigError, Congestion, Fencing, MAX_AL_EXTENTS, OnCongestion, OnIoError, OnNoQuorum, Protocol,
    QuorumPolicy, SyncConfig, Timeouts,
};
use replica::split_brain::{After0Pri, After1Pri, After2Pri, Policies};
use replica::{Config, NodeId};
use serde::Deserialize;

use crate::disk::Choice;

/// The version of the file.
const VERSION: u32 = 1;
/// Milliseconds in a unit of `timeout` and `ping-timeout`, as in DRBD.
const TENTH: u64 = 100;
/// Bytes in a unit of the rates and of `c-fill-target`.
const KIB: u64 = 1024;
/// Bytes in a unit of `congestion-fill`, where none is named, as in DRBD.
const SECTOR: u64 = 512;
/// Seconds between two attempts to connect. DRBD waits 10, but there both sides dial; here only one does.
const CONNECT_INT: u64 = 1;
/// Longest name of a volume, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Why a volume's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not as it should be.
    #[error("{path}: {reason}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
    /// The core does not take it.
    #[error("the configuration cannot be used")]
    Config(#[from] replica::config::ConfigError),
}

fn value(text: impl Into<String>) -> SettingsError {
    SettingsError::Value(text.into())
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    version: u32,
    #[serde(default)]
    size: Option<u64>,
    nodes: BTreeMap<String, NodeSettings>,
    #[serde(default)]
    net: Net,
    #[serde(default)]
    disk: DiskOptions,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    handlers: BTreeMap<String, String>,
    #[serde(default)]
    backend: Choice,
    #[serde(default)]
    attach: Attach,
}

/// One node of the volume.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeSettings {
    /// Its node id.
    pub id: u8,
    /// Where it listens for its peers.
    pub address: SocketAddr,
    /// Its backing device; none: it only breaks ties.
    #[serde(default)]
    pub disk: Option<PathBuf>,
    /// The loop device that it hands the volume to the system by; none: the first that is free.
    #[serde(default, rename = "loop")]
    pub loop_device: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Net {
    #[serde(default)]
    protocol: Option<String>,
    shared_secret: Option<String>,
    shared_secret_file: Option<PathBuf>,
    /// Say so to work without authentication and encryption.
    #[serde(default)]
    unprotected: bool,
    fencing: Option<String>,
    timeout: Option<u64>,
    ping_int: Option<u64>,
    ping_timeout: Option<u64>,
    connect_int: Option<u64>,
    ko_count: Option<u32>,
    after_sb_0pri: Option<String>,
    after_sb_1pri: Option<String>,
    after_sb_2pri: Option<String>,
    csums_alg: Option<String>,
    on_congestion: Option<String>,
    congestion_fill: Option<String>,
    congestion_extents: Option<u16>,
    allow_two_primaries: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DiskOptions {
    on_io_error: Option<String>,
    al_extents: Option<u16>,
    c_fill_target: Option<u64>,
    c_max_rate: Option<u64>,
    c_min_rate: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    quorum: Option<String>,
    on_no_quorum: Option<String>,
}

/// How a Primary hands the volume to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// By NBD on its socket only.
    #[default]
    None,
    /// As a device of the kernel's ublk driver.
    Ublk,
    /// As an NBD device of the kernel's.
    Nbd,
    /// As a loop device on a FUSE file.
    Fuse,
    /// By ublk where the kernel has it, else by NBD where it has that, else by FUSE.
    Auto,
}

/// How the connections are protected.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// By this shared secret.
    Shared(Vec<u8>),
    /// Not at all, by order.
    Unprotected,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shared(_) => "Shared(..)",
            Self::Unprotected => "Unprotected",
        })
    }
}

/// A volume as one of its nodes sees it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The volume's name.
    pub name: String,
    /// This node's name.
    pub node: String,
    /// All nodes, this one included.
    pub nodes: BTreeMap<String, NodeSettings>,
    /// The volume's size in bytes, where it is not what fits on the device.
    pub size: Option<u64>,
    /// Protection of the connections.
    pub secret: Secret,
    /// How long to wait between two attempts to connect.
    pub connect_int: Duration,
    /// Shell commands by the names that DRBD has for handlers.
    pub handlers: BTreeMap<String, String>,
    /// How the disk is worked with.
    pub backend: Choice,
    /// How a Primary hands the volume to the system, besides NBD.
    pub attach: Attach,
    config: Config,
}

/// Whether this can be a volume's name: it becomes part of paths.
pub(crate) fn check_name(name: &str) -> Result<(), SettingsError> {
    let sane = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(sane) || name.starts_with('.') {
        return Err(value(format!(
            "{name:?} cannot be a volume's name: up to {MAX_NAME_BYTES} letters, digits, '-', '_', '.'"
        )));
    }
    Ok(())
}

impl Settings {
    /// Reads a volume's file. `node` is this node's name; none: the host's.
    ///
    /// # Errors
    /// When the file is not there or something in it cannot be.
    pub fn read(path: &Path, name: &str, node: Option<&str>) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let file: File = serde_saphyr::from_str(&text)
            .map_err(|error| SettingsError::Parse { path: path.to_owned(), reason: error.to_string() })?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = host.split('.').next().unwrap_or(&host).to_owned();
        let mut names =
            node.map_or_else(|| vec![host.as_str(), short.as_str()], |node| vec![node]).into_iter();
        let node = names.find(|name| file.nodes.contains_key(*name)).ok_or_else(|| {
            let known: Vec<&str> = file.nodes.keys().map(String::as_str).collect();
            value(format!(
                "none of the volume's nodes ({}) is this host ({}); name it with --node",
                known.join(", "),
                node.unwrap_or(&host)
            ))
        })?;
        Self::check(file.clone(), name, node)
    }

    fn check(file: File, name: &str, node: &str) -> Result<Self, SettingsError> {
        if file.version != VERSION {
            return Err(value(format!("version {} of the file is not known, only {VERSION}", file.version)));
        }
        check_name(name)?;
        let ids = node_ids(&file.nodes)?;
        let (Some(own), Some(settings)) = (ids.get(node), file.nodes.get(node)) else {
            return Err(value(format!("{node} is none of the volume's nodes")));
        };
        let diskless = settings.disk.is_none();
        if diskless && file.size.is_none() {
            return Err(value("a node without a disk needs the volume's `size`, in bytes"));
        }
        let mut config = Config::new(*own, file.size.unwrap_or_default());
        config.diskless = diskless;
        for (name, peer) in file.nodes.iter().filter(|(name, _)| *name != node) {
            if let Some(id) = ids.get(name) {
                config = config.with_peer(*id, peer.disk.is_none());
            }
        }
        fill(&mut config, &file, &ids)?;
        // Whatever the size, and before the device is asked for it.
        if config.congestion.policy != OnCongestion::Block && config.protocol != Protocol::A {
            return Err(ConfigError::CongestionProtocol.into());
        }
        if config.two_primaries && config.protocol != Protocol::C {
            return Err(ConfigError::TwoPrimariesProtocol.into());
        }
        if let Some(size) = file.size {
            // Checked as far as it is known; without a size the device's decides.
            Config { size, ..config.clone() }.check()?;
        }
        Ok(Self {
            name: name.to_owned(),
            node: node.to_owned(),
            size: file.size,
            secret: secret(&file.net)?,
            connect_int: Duration::from_secs(file.net.connect_int.unwrap_or(CONNECT_INT).max(1)),
            nodes: file.nodes,
            handlers: file.handlers,
            backend: file.backend,
            attach: file.attach,
            config,
        })
    }

    /// The core's configuration for a volume of so many bytes.
    #[must_use]
    pub fn config(&self, size: u64) -> Config {
        Config { size, ..self.config.clone() }
    }

    /// This node.
    #[must_use]
    pub fn own(&self) -> &NodeSettings {
        // `check` found it there.
        &self.nodes[&self.node]
    }

    /// A peer's name and settings.
    #[must_use]
    pub fn peer(&self, id: NodeId) -> Option<(&str, &NodeSettings)> {
        let mut peers = self.nodes.iter().filter(|(name, _)| **name != self.node);
        peers.find(|(_, node)| node.id == id.get()).map(|(name, node)| (name.as_str(), node))
    }

    /// The peer of this name.
    #[must_use]
    pub fn peer_id(&self, name: &str) -> Option<NodeId> {
        let node = self.nodes.get(name).filter(|_| name != self.node)?;
        NodeId::new(node.id)
    }
}

fn node_ids(nodes: &BTreeMap<String, NodeSettings>) -> Result<BTreeMap<String, NodeId>, SettingsError> {
    let mut ids: BTreeMap<String, NodeId> = BTreeMap::new();
    for (name, node) in nodes {
        let id =
            NodeId::new(node.id).ok_or_else(|| value(format!("{name}: node id {} is above 31", node.id)))?;
        if let Some((other, _)) = ids.iter().find(|(_, other)| **other == id) {
            return Err(value(format!("{other} and {name} have the same node id {}", node.id)));
        }
        ids.insert(name.clone(), id);
    }
    Ok(ids)
}

fn secret(net: &Net) -> Result<Secret, SettingsError> {
    match (&net.shared_secret, &net.shared_secret_file, net.unprotected) {
        (Some(secret), None, false) => Ok(Secret::Shared(secret.clone().into_bytes())),
        (None, Some(path), false) => {
            let failed = |source| SettingsError::Read { path: path.clone(), source };
            let secret = std::fs::read_to_string(path).map_err(failed)?;
            Ok(Secret::Shared(secret.trim_end().as_bytes().to_vec()))
        }
        (None, None, true) => Ok(Secret::Unprotected),
        (None, None, false) => Err(value(
            "net: a shared-secret or shared-secret-file is missing; `unprotected: true` works without either",
        )),
        _ => Err(value("net: only one of shared-secret, shared-secret-file and unprotected")),
    }
}

/// The value of an option that is one of a few words.
fn word<T: Copy>(
    option: &str,
    given: Option<&str>,
    words: &[(&str, T)],
    default: T,
) -> Result<T, SettingsError> {
    let Some(given) = given else { return Ok(default) };
    words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        value(format!("{option}: {given:?} is none of {}", known.join(", ")))
    })
}

fn fill(config: &mut Config, file: &File, ids: &BTreeMap<String, NodeId>) -> Result<(), SettingsError> {
    let (net, disk, options) = (&file.net, &file.disk, &file.options);
    let protocols = [("A", Protocol::A), ("B", Protocol::B), ("C", Protocol::C)];
    config.protocol = word("protocol", net.protocol.as_deref(), &protocols, Protocol::C)?;
    let fencing = [
        ("dont-care", Fencing::DontCare),
        ("resource-only", Fencing::ResourceOnly),
        ("resource-and-stonith", Fencing::ResourceAndStonith),
    ];
    config.fencing = word("fencing", net.fencing.as_deref(), &fencing, Fencing::DontCare)?;
    let errors = [
        ("detach", OnIoError::Detach),
        ("pass_on", OnIoError::PassOn),
        ("call-local-io-error", OnIoError::CallHandler),
    ];
    config.on_io_error = word("on-io-error", disk.on_io_error.as_deref(), &errors, OnIoError::Detach)?;
    let no_quorum = [("suspend-io", OnNoQuorum::SuspendIo), ("io-error", OnNoQuorum::IoError)];
    config.on_no_quorum =
        word("on-no-quorum", options.on_no_quorum.as_deref(), &no_quorum, OnNoQuorum::SuspendIo)?;
    config.quorum = quorum(options.quorum.as_deref())?;
    config.after_split_brain = policies(net, ids)?;
    config.al_extents = disk.al_extents.unwrap_or(MAX_AL_EXTENTS);
    config.congestion = congestion(net)?;
    let answers = [("yes", true), ("no", false)];
    config.two_primaries = word("allow-two-primaries", net.allow_two_primaries.as_deref(), &answers, false)?;
    let default = SyncConfig::default();
    let kib = |given: Option<u64>, default: u64| given.map_or(default, |kib| kib.saturating_mul(KIB));
    config.sync = SyncConfig {
        fill_target_bytes: kib(disk.c_fill_target, default.fill_target_bytes),
        max_rate: kib(disk.c_max_rate, default.max_rate),
        min_rate: kib(disk.c_min_rate, default.min_rate),
        checksums: net.csums_alg.is_some(),
    };
    let default = Timeouts::default();
    let tenths = |given: Option<u64>, default| given.map_or(default, |n| Duration::from_millis(n * TENTH));
    config.timeouts = Timeouts {
        ping_int: net.ping_int.map_or(default.ping_int, Duration::from_secs),
        ping_timeout: tenths(net.ping_timeout, default.ping_timeout),
        timeout: tenths(net.timeout, default.timeout),
        ko_count: net.ko_count.unwrap_or(default.ko_count),
    };
    Ok(())
}

fn congestion(net: &Net) -> Result<Congestion, SettingsError> {
    let policies = [
        ("block", OnCongestion::Block),
        ("pull-ahead", OnCongestion::PullAhead),
        ("disconnect", OnCongestion::Disconnect),
    ];
    Ok(Congestion {
        policy: word("on-congestion", net.on_congestion.as_deref(), &policies, OnCongestion::Block)?,
        fill_bytes: net.congestion_fill.as_deref().map_or(Ok(0), size)?,
        extents: net.congestion_extents,
    })
}

/// A size as DRBD writes it: a number, and `s`, `K`, `M` or `G`; sectors, where nothing is said.
fn size(given: &str) -> Result<u64, SettingsError> {
    let units = [('s', SECTOR), ('K', KIB), ('M', KIB * KIB), ('G', KIB * KIB * KIB)];
    let unit = units.iter().find_map(|(unit, bytes)| Some((given.strip_suffix(*unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((given, SECTOR));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| value(format!("congestion-fill: {given:?} is no size such as 2048s, 512K or 4M")))
}

fn quorum(given: Option<&str>) -> Result<QuorumPolicy, SettingsError> {
    let words =
        [("off", QuorumPolicy::Off), ("majority", QuorumPolicy::Majority), ("all", QuorumPolicy::All)];
    match given.map(str::parse::<u8>) {
        Some(Ok(nodes)) if nodes > 0 => Ok(QuorumPolicy::AtLeast(nodes)),
        _ => word("quorum", given, &words, QuorumPolicy::Off),
    }
}

fn policies(net: &Net, ids: &BTreeMap<String, NodeId>) -> Result<Policies, SettingsError> {
    let after_0pri = match net.after_sb_0pri.as_deref().and_then(|word| word.strip_prefix("discard-node-")) {
        Some(node) => {
            let id = ids.get(node).ok_or_else(|| value(format!("after-sb-0pri: there is no node {node}")))?;
            After0Pri::DiscardNode(*id)
        }
        None => {
            let words = [
                ("disconnect", After0Pri::Disconnect),
                ("discard-younger-primary", After0Pri::DiscardYoungerPrimary),
                ("discard-older-primary", After0Pri::DiscardOlderPrimary),
                ("discard-zero-changes", After0Pri::DiscardZeroChanges),
                ("discard-least-changes", After0Pri::DiscardLeastChanges),
            ];
            word("after-sb-0pri", net.after_sb_0pri.as_deref(), &words, After0Pri::Disconnect)?
        }
    };
    let words = [
        ("disconnect", After1Pri::Disconnect),
        ("consensus", After1Pri::Consensus),
        ("discard-secondary", After1Pri::DiscardSecondary),
        ("call-pri-lost-after-sb", After1Pri::CallPriLostAfterSb),
        ("violently-as0p", After1Pri::ViolentlyAs0p),
    ];
    let after_1pri = word("after-sb-1pri", net.after_sb_1pri.as_deref(), &words, After1Pri::Disconnect)?;
    let words = [
        ("disconnect", After2Pri::Disconnect),
        ("call-pri-lost-after-sb", After2Pri::CallPriLostAfterSb),
        ("violently-as0p", After2Pri::ViolentlyAs0p),
    ];
    let after_2pri = word("after-sb-2pri", net.after_sb_2pri.as_deref(), &words, After2Pri::Disconnect)?;
    Ok(Policies { after_0pri, after_1pri, after_2pri })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    const GOOD: &str = "version: 1
nodes:
  alpha: { id: 0, address: '10.0.0.1:7789', disk: /dev/vdb }
  beta: { id: 1, address: '10.0.0.2:7789', disk: /dev/vdb }
net: { protocol: B, shared-secret: a long secret, timeout: 60, after-sb-0pri: discard-node-beta }
options: { quorum: 2 }
";

    fn read(text: &str, node: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r0.yml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path, "r0", Some(node)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_options_have_drbds_names_and_units() {
        let settings = read(GOOD, "beta").unwrap();
        let config = settings.config(1 << 30);
        assert_eq!((config.node.get(), config.peers.len(), config.protocol), (1, 1, Protocol::B));
        assert_eq!(config.timeouts.timeout, Duration::from_secs(6));
        assert_eq!(config.quorum, QuorumPolicy::AtLeast(2));
        let beta = NodeId::new(1).unwrap();
        assert_eq!(config.after_split_brain.after_0pri, After0Pri::DiscardNode(beta));
        assert_eq!(settings.peer_id("alpha"), NodeId::new(0));
        assert_eq!(settings.peer_id("beta"), None, "no node is its own peer");
        assert!(!format!("{settings:?}").contains("97, 32"), "the secret is not shown");
    }

    #[test]
    fn how_it_is_handed_to_the_system_is_said_in_a_word() {
        let words = [
            ("none", Attach::None),
            ("ublk", Attach::Ublk),
            ("nbd", Attach::Nbd),
            ("fuse", Attach::Fuse),
            ("auto", Attach::Auto),
        ];
        for (word, attach) in words {
            let settings = read(&format!("{GOOD}attach: {word}\n"), "alpha").unwrap();
            assert_eq!(settings.attach, attach, "{word}");
        }
        assert_eq!(read(GOOD, "alpha").unwrap().attach, Attach::None);
        assert!(read(&format!("{GOOD}attach: loop\n"), "alpha").unwrap_err().contains("loop"));
    }

    #[test]
    fn congestion_is_for_protocol_a_and_has_drbds_units() {
        let with = |options: &str| read(&GOOD.replace("protocol: B,", options), "alpha");
        let congestion = |options: &str| with(options).unwrap().config(1 << 30).congestion;
        assert_eq!(congestion("protocol: B,"), Congestion::default());
        let all = "protocol: A, on-congestion: pull-ahead, congestion-fill: 4M, congestion-extents: 500,";
        let expected =
            Congestion { policy: OnCongestion::PullAhead, fill_bytes: 4 << 20, extents: Some(500) };
        assert_eq!(congestion(all), expected);
        assert_eq!(congestion("protocol: A, congestion-fill: 8,").fill_bytes, 4096);
        assert_eq!(congestion("protocol: A, on-congestion: disconnect,").policy, OnCongestion::Disconnect);
        let refused = |options: &str| with(options).unwrap_err();
        assert!(refused("protocol: C, on-congestion: pull-ahead,").contains("cannot be used"));
        assert!(refused("protocol: A, on-congestion: pullahead,").contains("block, pull-ahead, disconnect"));
        assert!(refused("protocol: A, congestion-fill: 4T,").contains("512K"));
    }

    #[test]
    fn two_primaries_are_for_protocol_c() {
        let with = |options: &str| read(&GOOD.replace("protocol: B,", options), "alpha");
        let allowed = |options: &str| with(options).unwrap().config(1 << 30).two_primaries;
        assert!(allowed("allow-two-primaries: yes,") && allowed("protocol: C, allow-two-primaries: yes,"));
        assert!(!allowed("protocol: C,") && !allowed("protocol: A, allow-two-primaries: no,"));
        for protocol in ["A", "B"] {
            let refused = with(&format!("protocol: {protocol}, allow-two-primaries: yes,")).unwrap_err();
            assert!(refused.contains("cannot be used"), "{refused}");
        }
        assert!(with("allow-two-primaries: maybe,").unwrap_err().contains("yes, no"));
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |from: &str, to: &str| read(&GOOD.replace(from, to), "alpha").unwrap_err();
        assert!(read(GOOD, "gamma").unwrap_err().contains("alpha, beta"));
        assert!(refused("shared-secret: a long secret, ", "").contains("shared-secret"));
        assert!(refused("id: 1", "id: 0").contains("same node id"));
        assert!(refused("id: 1", "id: 32").contains("above 31"));
        assert!(refused("protocol: B", "protocol: D").contains("A, B, C"));
        assert!(refused("timeout: 60", "tiemout: 60").contains("tiemout"));
        assert!(refused("version: 1", "version: 2").contains("version 2"));
        assert!(refused(", disk: /dev/vdb }\n  beta", " }\n  beta").contains("size"));
    }
}
