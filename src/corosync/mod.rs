//! `corosync.conf`: read, written, compared, and held against what the running daemon has loaded.
//!
//! In: the text of `corosync.conf`, and what `corosync-cmapctl`, `corosync-quorumtool` and
//! `corosync-cfgtool` print. Out: typed values, a rendered file, and for two files the answer to "what does it take
//! to go from one to the other" ([`classify`]). Never runs a command or reads a file: that is the transport's job.

mod classify;
mod cmap;
mod conf;
mod flat;
mod links;
mod parse;
mod pending;
mod quorum;
mod rules;
mod tree;

pub use classify::{ChangeClass, Classification, KeyChange, classify, classify_authkey_change};
pub use cmap::{Cmap, CmapError, Difference, parse_cmap, quorum_matches, running_matches};
pub use conf::{CorosyncConf, Interface, NodeEntry, QuorumConf, QuorumDevice, Transport};
pub use links::{LinkState, LinkStatus, NodeLink, NodeLinks, PeerLink, parse_link_status, parse_node_status};
pub use parse::{MAX_CONF_BYTES, MAX_DEPTH, MAX_LINE_BYTES, ParseError, ParseErrorKind};
pub use pending::{classify_on_node, classify_running};
pub use quorum::{Member, QuorumStatus, StatusError, parse_quorum_status};
pub use rules::Version;
pub use tree::{Entry, Section};

#[cfg(test)]
mod tests;
