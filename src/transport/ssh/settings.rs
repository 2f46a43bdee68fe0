//! What has to be known to reach one node over SSH.
//!
//! In: values from the inventory and the command line. Out: a plain struct. Never reads a file.

use std::str::FromStr;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::names::NodeName;
use crate::transport::Sudo;

/// The port SSH listens on (RFC 4253, 4).
pub const DEFAULT_PORT: u16 = 22;
/// How long one TCP connection may take to be made.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the handshake and the login may take, once connected.
pub const DEFAULT_LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which the node is asked whether it is still there.
pub const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered questions after which the connection is given up.
pub const DEFAULT_KEEPALIVE_MISSES: usize = 3;

/// How to reach one node over SSH. What is left open is taken from `ssh_config`, then from the defaults.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// The node.
    pub node: NodeName,
    /// Host name, address, or an alias in `ssh_config`.
    pub host: String,
    /// Port; 22 when neither this nor `ssh_config` names one.
    pub port: Option<u16>,
    /// Login name; `root` when neither this nor `ssh_config` names one.
    pub user: Option<String>,
    /// Private key files, tried in this order.
    pub identities: Vec<Utf8PathBuf>,
    /// Whether keys of the agent are tried too.
    pub agent: bool,
    /// Known-hosts files; empty: those of `ssh_config`, or the user's and the system's own.
    pub known_hosts: Vec<Utf8PathBuf>,
    /// Accept the key of a host that is not known yet, and record it in the first known-hosts file.
    pub accept_new_host_keys: bool,
    /// An OpenSSH client configuration file to consult.
    pub ssh_config: Option<Utf8PathBuf>,
    /// The hosts to go through, first the one nearest to here; empty: those of `ssh_config`.
    pub jump: Vec<HopSettings>,
    /// How privileged commands become root when the login is not root.
    pub sudo: Sudo,
    /// Longest time for a TCP connection.
    pub connect_timeout: Duration,
    /// Longest time for handshake and login.
    pub login_timeout: Duration,
    /// Silence after which the node is asked whether it is there.
    pub keepalive_interval: Duration,
    /// Unanswered questions after which the connection is lost.
    pub keepalive_misses: usize,
}

impl SshSettings {
    /// Reaches this node at this host, with the agent and every default.
    #[must_use]
    pub fn new(node: NodeName, host: impl Into<String>) -> Self {
        Self {
            node,
            host: host.into(),
            port: None,
            user: None,
            identities: Vec::new(),
            agent: true,
            known_hosts: Vec::new(),
            accept_new_host_keys: false,
            ssh_config: None,
            jump: Vec::new(),
            sudo: Sudo::No,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            login_timeout: DEFAULT_LOGIN_TIMEOUT,
            keepalive_interval: DEFAULT_KEEPALIVE_INTERVAL,
            keepalive_misses: DEFAULT_KEEPALIVE_MISSES,
        }
    }
}

/// A host on the way: `[user@]host[:port]`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopSettings {
    /// Host name, address, or an alias in `ssh_config`.
    pub host: String,
    /// Port, when it is not the default.
    pub port: Option<u16>,
    /// Login name, when it is not the node's.
    pub user: Option<String>,
}

/// Why a text is not a jump host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a jump host: write [user@]host[:port]")]
pub struct HopError {
    /// The offending text.
    pub text: String,
}

impl FromStr for HopSettings {
    type Err = HopError;

    fn from_str(text: &str) -> Result<Self, HopError> {
        let error = || HopError { text: text.to_owned() };
        let bare = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, address) = match bare.rsplit_once('@') {
            Some((user, address)) if !user.is_empty() => (Some(user.to_owned()), address),
            Some(_) => return Err(error()),
            None => (None, bare),
        };
        let (host, port) = split_port(address).ok_or_else(error)?;
        let port = port.map(str::parse).transpose().map_err(|_| error())?;
        if host.is_empty() || host.contains(char::is_whitespace) || port == Some(0) {
            return Err(error());
        }
        Ok(Self { host: host.to_owned(), port, user })
    }
}

/// Splits `host:port`, `[v6]:port`, `[v6]`, `host` or a bare IPv6 address.
fn split_port(address: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if tail.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match address.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Some((address, None)),
        Some((host, port)) => Some((host, Some(port))),
        None => Some((address, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_write_a_hop() {
        let hop = |host: &str, port, user: Option<&str>| HopSettings {
            host: host.to_owned(),
            port,
            user: user.map(str::to_owned),
        };
        for (text, expected) in [
            ("bastion", hop("bastion", None, None)),
            ("op@bastion:2222", hop("bastion", Some(2222), Some("op"))),
            ("ssh://op@bastion:2222", hop("bastion", Some(2222), Some("op"))),
            ("[2001:db8::1]:22", hop("2001:db8::1", Some(22), None)),
            ("2001:db8::1", hop("2001:db8::1", None, None)),
            ("op@[::1]", hop("::1", None, Some("op"))),
        ] {
            assert_eq!(text.parse::<HopSettings>().unwrap(), expected, "{text}");
        }
        for bad in ["", "@host", "host:", "host:x", "host:0", "host:70000", "[::1", "[::1]x", "a b"] {
            assert!(bad.parse::<HopSettings>().is_err(), "{bad}");
        }
    }
}
