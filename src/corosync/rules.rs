//! The table: what it takes to change each key of `corosync.conf` in a running cluster.
//!
//! In: the path of a key and what must be known of the configuration around it. Out: a class and the reason, in words
//! for a plan. The facts are those of corosync 3.1:
//!
//! - What a reload reads again: `totem_volatile_config_read()` (timeouts, windows, MTU discovery, compression,
//!   `block_unlisted_ips`, `cancel_token_hold_on_retransmit`), `totemconfig_configure_new_params()` (nodelist, links),
//!   `totem_reread_crypto_config()` (crypto, since 3.1.0 with a kronosnet that can do it), `totemknet_refresh_config()`
//!   (link timers and priorities), `votequorum_readconfig(RUNTIME)` (`two_node`, votes, device), all of `logging`,
//!   `uidgid` and `nozzle`.
//! - What a reload refuses: `remove_ro_entries()` in `exec/cfg.c` (transport, cluster_name, ip_version, netmtu,
//!   provider, everything in `system`) and `check_things_have_not_changed()` in `exec/totemconfig.c` (a node's address
//!   on a link, `knet_transport` of a link).
//! - What a reload takes into cmap but the daemon does not look at again: votequorum's `wait_for_all`,
//!   `last_man_standing*`, `auto_tie_breaker*`, `allow_downscale`, `expected_votes_tracking` ("Changing of wait_for_all
//!   during runtime is not supported"); `link_mode`, copied when the daemon starts; ports of existing links.
//!
//! Sources: corosync.conf(5), votequorum(5), cmap_keys(7), corosync-cfgtool(8) and the 3.1.7 sources named above.

use std::fmt;
use std::str::FromStr;

use super::classify::ChangeClass;
use super::conf::Transport;

/// A version of corosync, such as 3.1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl Version {
    /// The version in which crypto became reloadable.
    pub const CRYPTO_RELOAD: Self = Self { major: 3, minor: 1, patch: 0 };

    /// A version.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `3.1.7`, also with a distribution's suffix (`3.1.7-1+deb12u1`) or as `corosync -v` prints it.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` holds no version of corosync");
        let start = text.find(|c: char| c.is_ascii_digit()).ok_or_else(fail)?;
        let mut parts = text[start..].splitn(3, '.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u16>()
        });
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), patch) => {
                Ok(Self { major, minor, patch: patch.and_then(Result::ok).unwrap_or(0) })
            }
            _ => Err(fail()),
        }
    }
}

/// What the class of some keys depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) transport: Transport,
    pub(super) version: Version,
    /// All addresses are literal, so that no name is looked up.
    pub(super) literal_addresses: bool,
}

/// What a change that cuts a link needs, by whether some other link stays as it is on all nodes.
pub(super) const fn link_cut(other_link_stays: bool) -> (ChangeClass, &'static str) {
    if other_link_stays {
        (
            ChangeClass::RollingRestart,
            "corosync does not change an existing link at run time; another link keeps the nodes together while they \
             are restarted one by one",
        )
    } else {
        (
            ChangeClass::FullStop,
            "corosync does not change an existing link at run time, and no other link would connect restarted nodes \
             to those that still use the old one (adding a second link first avoids the stop)",
        )
    }
}

const RELOADED_TIMING: &str = "protocol timing is read again on reload";
const RELOADED_LOGGING: &str = "logging is read again on reload";
const LOCAL_AT_START: &str = "read only when the daemon starts; nodes may differ meanwhile";
const ALL_MUST_AGREE: &str = "all nodes must agree on it from the start: nodes with the old and the new value do not talk to each other";

/// The class of a changed key outside `nodelist`.
pub(super) fn rule(path: &str, context: Context) -> (ChangeClass, &'static str) {
    use ChangeClass::{FullStop, Reload, RollingRestart};
    let (section, key) = path.split_once('.').unwrap_or(("", path));
    match section {
        "totem" => totem(key, context),
        "logging" => (Reload, RELOADED_LOGGING),
        "quorum" => quorum(key),
        "uidgid" => (Reload, "who may connect to corosync is read again on reload"),
        "nozzle" => (Reload, "the nozzle device is set up again on reload"),
        "nodelist" => (Reload, "the node list is read again on reload"),
        "system" => {
            (RollingRestart, "a reload refuses to change the `system` section; it is local to each node")
        }
        "resources" => (RollingRestart, LOCAL_AT_START),
        // 1.x/2.x leftovers: plugins, and aisexec users.
        "service" | "amf" | "aisexec" => (FullStop, "plugins and users of corosync 1 are read only at start"),
        _ => (
            RollingRestart,
            "not a key that this program knows; corosync reads it, if at all, when it starts",
        ),
    }
}

fn totem(key: &str, context: Context) -> (ChangeClass, &'static str) {
    use ChangeClass::{FullStop, Reload, RollingRestart};
    match key {
        "config_version" => (Reload, "the number is taken over on reload"),
        "token"
        | "token_warning"
        | "token_coefficient"
        | "token_retransmit"
        | "hold"
        | "token_retransmits_before_loss_const"
        | "join"
        | "send_join"
        | "consensus"
        | "merge"
        | "downcheck"
        | "fail_recv_const"
        | "seqno_unchanged_const"
        | "heartbeat_failures_allowed"
        | "max_network_delay"
        | "window_size"
        | "max_messages"
        | "miss_count_const"
        | "cancel_token_hold_on_retransmit" => (Reload, RELOADED_TIMING),
        "knet_pmtud_interval" | "knet_mtu" => (Reload, "MTU discovery is set again on reload"),
        "knet_compression_model" | "knet_compression_threshold" | "knet_compression_level" => {
            (Reload, "compression is set again on reload; every packet says how it was compressed")
        }
        "block_unlisted_ips" => (Reload, "the access list is set again on reload"),
        "crypto_model" | "crypto_cipher" | "crypto_hash" | "secauth" | "keyfile" | "key" => crypto(context),
        "transport" => (FullStop, "a reload refuses it, and transports do not talk to each other"),
        "cluster_name" => (
            FullStop,
            "a reload refuses it; lock managers, multicast addresses and Pacemaker's records are bound to the name",
        ),
        "ip_version" if context.literal_addresses => {
            (RollingRestart, "a reload refuses it; all addresses are literal, so nothing else changes")
        }
        "ip_version" => (
            FullStop,
            "a reload refuses it, and restarted nodes would resolve names to another address family than the rest",
        ),
        "version" => (FullStop, "the version of the protocol"),
        "netmtu" => (RollingRestart, "a reload refuses it; receivers take packets of either size"),
        "threads" => (RollingRestart, LOCAL_AT_START),
        "link_mode" => (
            RollingRestart,
            "how a node chooses among its links is read when the daemon starts; nodes may differ meanwhile",
        ),
        "rrp_mode" => (FullStop, ALL_MUST_AGREE),
        "clear_node_high_bit" => {
            (FullStop, "behaviour is undefined when only a part of the cluster has it (corosync.conf(5))")
        }
        "nodeid" => (FullStop, "a node's id is its identity in the cluster"),
        _ => match key.strip_prefix("interface.").and_then(|rest| rest.split_once('.')) {
            Some((_, option)) => interface(option, context),
            None => (
                RollingRestart,
                "not a key that this program knows; corosync reads it, if at all, when it starts",
            ),
        },
    }
}

/// The class of a change of ciphers, hashes or key.
pub(super) fn crypto(context: Context) -> (ChangeClass, &'static str) {
    if context.version >= Version::CRYPTO_RELOAD && context.transport == Transport::Knet {
        (
            ChangeClass::Reload,
            "crypto and key are read again on reload (corosync 3.1): all nodes must have the new files first",
        )
    } else {
        (
            ChangeClass::FullStop,
            "this corosync cannot change crypto at run time, and both sides must use the same",
        )
    }
}

fn interface(option: &str, context: Context) -> (ChangeClass, &'static str) {
    use ChangeClass::{FullStop, Reload, RollingRestart};
    match option {
        "knet_link_priority"
        | "knet_ping_interval"
        | "knet_ping_timeout"
        | "knet_ping_precision"
        | "knet_pong_count" => (Reload, "timers and priorities of links are set again on reload"),
        // Whether another link carries the cluster meanwhile is judged by the caller.
        "knet_transport" => link_cut(false),
        "mcastport" if context.transport == Transport::Knet => link_cut(false),
        "bindnetaddr" if context.transport == Transport::Knet => {
            (Reload, "not used with knet, where addresses come from the node list")
        }
        "mcastport" | "mcastaddr" | "broadcast" => (FullStop, ALL_MUST_AGREE),
        "bindnetaddr" | "ttl" => (RollingRestart, LOCAL_AT_START),
        _ => (
            RollingRestart,
            "not an option that this program knows; corosync reads it, if at all, when it starts",
        ),
    }
}

fn quorum(key: &str) -> (ChangeClass, &'static str) {
    use ChangeClass::{FullStop, Reload, RollingRestart};
    match key {
        "provider" => (FullStop, "a reload refuses it, and all nodes must decide quorum in the same way"),
        "expected_votes" | "votes" | "two_node" => (Reload, "votes are counted again on reload"),
        "wait_for_all"
        | "last_man_standing"
        | "last_man_standing_window"
        | "allow_downscale"
        | "expected_votes_tracking"
        | "auto_tie_breaker"
        | "auto_tie_breaker_node" => (
            RollingRestart,
            "votequorum reads it only when it starts: a reload would look as if it had worked and change nothing",
        ),
        _ if key == "device" || key.starts_with("device.") => (
            Reload,
            "votes and time-outs of the quorum device are read again on reload; corosync-qdevice itself is restarted",
        ),
        _ => (
            RollingRestart,
            "not a key that this program knows; corosync reads it, if at all, when it starts",
        ),
    }
}
