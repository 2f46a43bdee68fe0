//! What `corosync-cfgtool -s` and `-n` print: the state of links, by link and by node.
//!
//! In: their standard output. Out: typed link states. Lenient towards versions: unknown lines are passed over, an
//! output without the opening `Local node ID` line is an error.

use super::quorum::{StatusError, bounded};

/// Largest output read, in bytes.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
const COMMAND: &str = "corosync-cfgtool";

/// How one peer is reached over one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerLink {
    /// It is the node itself.
    Local,
    /// Packets arrive.
    Connected,
    /// They do not.
    Disconnected,
}

/// One link, as `corosync-cfgtool -s` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// The link's number.
    pub id: u8,
    /// `udp` or `sctp` with knet.
    pub transport: Option<String>,
    /// The local address.
    pub address: String,
    /// Peers by node id, in the order printed.
    pub peers: Vec<(u32, PeerLink)>,
}

/// The output of `corosync-cfgtool -s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The id of the node that was asked.
    pub local_node_id: u32,
    /// `knet`, `udpu` or `udp`.
    pub transport: String,
    /// The links.
    pub links: Vec<LinkState>,
}

impl LinkStatus {
    /// Whether every peer is connected over every link.
    #[must_use]
    pub fn all_connected(&self) -> bool {
        self.links.iter().all(|link| link.peers.iter().all(|(_, state)| *state != PeerLink::Disconnected))
    }
}

/// One link to one node, as `corosync-cfgtool -n` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLink {
    /// The link's number.
    pub id: u8,
    /// Address here.
    pub local: String,
    /// Address there; empty with udp and udpu.
    pub remote: String,
    /// Whether it is up.
    pub enabled: bool,
    /// Whether packets arrive.
    pub connected: bool,
    /// Largest packet in bytes, 0 when not known.
    pub mtu: u32,
}

/// A reachable node and the links to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLinks {
    /// The node's id.
    pub nodeid: u32,
    /// Its links.
    pub links: Vec<NodeLink>,
}

fn malformed(index: usize, line: &str) -> StatusError {
    StatusError::Malformed { command: COMMAND, line: index + 1, text: line.to_owned() }
}

fn local_line(line: &str) -> Option<(u32, String)> {
    let rest = line.strip_prefix("Local node ID ")?;
    let (id, transport) = rest.split_once(", transport ")?;
    Some((id.trim().parse().ok()?, transport.trim().to_owned()))
}

/// Reads the output of `corosync-cfgtool -s`.
///
/// # Errors
/// When the output is too large, has no `Local node ID` line, or a line about a link cannot be read.
pub fn parse_link_status(text: &str) -> Result<LinkStatus, StatusError> {
    bounded(COMMAND, text, MAX_OUTPUT_BYTES)?;
    let mut local = None;
    let mut links: Vec<LinkState> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(found) = local_line(trimmed) {
            local = Some(found);
        } else if let Some(rest) = trimmed.strip_prefix("LINK ID ") {
            let mut words = rest.split_whitespace();
            let id = words.next().and_then(|id| id.parse().ok()).ok_or_else(|| malformed(index, line))?;
            let transport = words.next().map(str::to_owned);
            links.push(LinkState { id, transport, address: String::new(), peers: Vec::new() });
        } else if let Some(link) = links.last_mut() {
            if let Some(rest) = trimmed.strip_prefix("addr") {
                rest.trim_start().trim_start_matches('=').trim().clone_into(&mut link.address);
            } else if let Some(rest) = trimmed.strip_prefix("nodeid:") {
                link.peers.push(peer(rest).ok_or_else(|| malformed(index, line))?);
            }
        }
    }
    let (local_node_id, transport) =
        local.ok_or(StatusError::Missing { command: COMMAND, what: "Local node ID" })?;
    Ok(LinkStatus { local_node_id, transport, links })
}

fn peer(text: &str) -> Option<(u32, PeerLink)> {
    // "          2:\tconnected"
    let (id, state) = text.split_once(':')?;
    let state = match state.trim() {
        "localhost" => PeerLink::Local,
        "connected" => PeerLink::Connected,
        _ => PeerLink::Disconnected,
    };
    Some((id.trim().parse().ok()?, state))
}

/// Reads the output of `corosync-cfgtool -n`: reachable nodes other than the one that was asked.
///
/// # Errors
/// As [`parse_link_status`].
pub fn parse_node_status(text: &str) -> Result<Vec<NodeLinks>, StatusError> {
    bounded(COMMAND, text, MAX_OUTPUT_BYTES)?;
    if !text.lines().any(|line| local_line(line.trim()).is_some()) {
        return Err(StatusError::Missing { command: COMMAND, what: "Local node ID" });
    }
    let mut nodes: Vec<NodeLinks> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix("nodeid:") {
            let id = rest.split_whitespace().next().and_then(|id| id.parse().ok());
            nodes.push(NodeLinks { nodeid: id.ok_or_else(|| malformed(index, line))?, links: Vec::new() });
        } else if let (Some(rest), Some(node)) = (trimmed.strip_prefix("LINK:"), nodes.last_mut()) {
            node.links.push(node_link(rest).ok_or_else(|| malformed(index, line))?);
        }
    }
    Ok(nodes)
}

fn node_link(text: &str) -> Option<NodeLink> {
    // " 0 udp (192.168.1.101->192.168.1.102) enabled connected mtu: 1397"
    let id = text.split_whitespace().next()?.parse().ok()?;
    let (_, rest) = text.split_once('(')?;
    let (addresses, rest) = rest.split_once(')')?;
    let (local, remote) = addresses.split_once("->").unwrap_or((addresses, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let mtu = words.iter().position(|word| *word == "mtu:").and_then(|at| words.get(at + 1)?.parse().ok());
    Some(NodeLink {
        id,
        local: local.to_owned(),
        remote: remote.to_owned(),
        enabled: words.contains(&"enabled"),
        connected: words.contains(&"connected"),
        mtu: mtu.unwrap_or(0),
    })
}
