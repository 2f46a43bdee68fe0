//! Why a node could not be asked.

use std::time::Duration;

use crate::names::NodeName;

/// A failure of the way to a node, not of what was run there.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// No connection: refused, unreachable, timed out, name not found.
    #[error("{node}: cannot connect to {address}: {reason}")]
    Unreachable {
        /// The node.
        node: NodeName,
        /// Where it was tried.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The host key is unknown, changed or revoked.
    #[error("{node}: host key of {address} not accepted: {reason}")]
    HostKey {
        /// The node.
        node: NodeName,
        /// Whose key.
        address: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// No identity was accepted.
    #[error("{node}: cannot log in as {user}: {reason}")]
    Authentication {
        /// The node.
        node: NodeName,
        /// The login name.
        user: String,
        /// What was tried.
        reason: String,
    },
    /// sudo refused or asked for a password that is not known.
    #[error("{node}: cannot become root: {reason}")]
    Privilege {
        /// The node.
        node: NodeName,
        /// What sudo said.
        reason: String,
    },
    /// A command took longer than it may.
    #[error("{node}: `{command}` did not finish within {} s", limit.as_secs())]
    Timeout {
        /// The node.
        node: NodeName,
        /// The command's first words.
        command: String,
        /// Its limit.
        limit: Duration,
    },
    /// The connection ended while a command ran: whether it did its work is unknown.
    #[error("{node}: connection lost while `{command}` ran: {reason}")]
    Lost {
        /// The node.
        node: NodeName,
        /// The command's first words.
        command: String,
        /// What the connection said.
        reason: String,
    },
    /// A command printed more than it may.
    #[error("{node}: `{command}` printed more than {limit_bytes} bytes")]
    TooMuchOutput {
        /// The node.
        node: NodeName,
        /// The command's first words.
        command: String,
        /// Its limit in bytes.
        limit_bytes: usize,
    },
    /// A helper command of the transport itself (read, replace) failed on the node.
    #[error("{node}: {attempted}: {reason}")]
    Failed {
        /// The node.
        node: NodeName,
        /// What was attempted, on what.
        attempted: String,
        /// What came back.
        reason: String,
    },
    /// The configuration of the way there is wrong (key file, ssh_config, known_hosts).
    #[error("{node}: {reason}")]
    Configuration {
        /// The node.
        node: NodeName,
        /// What is wrong and where.
        reason: String,
    },
}

impl TransportError {
    /// The node it is about.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Unreachable { node, .. }
            | Self::HostKey { node, .. }
            | Self::Authentication { node, .. }
            | Self::Privilege { node, .. }
            | Self::Timeout { node, .. }
            | Self::Lost { node, .. }
            | Self::TooMuchOutput { node, .. }
            | Self::Failed { node, .. }
            | Self::Configuration { node, .. } => node,
        }
    }

    /// The same failure, the command called by what it was for.
    pub(super) fn of_command(mut self, title: &str) -> Self {
        if let Self::Timeout { command, .. }
        | Self::Lost { command, .. }
        | Self::TooMuchOutput { command, .. } = &mut self
        {
            title.clone_into(command);
        }
        self
    }

    /// The same failure as it concerns another node (behind the same jump host).
    pub(super) fn of_node(mut self, other: &NodeName) -> Self {
        match &mut self {
            Self::Unreachable { node, .. }
            | Self::HostKey { node, .. }
            | Self::Authentication { node, .. }
            | Self::Privilege { node, .. }
            | Self::Timeout { node, .. }
            | Self::Lost { node, .. }
            | Self::TooMuchOutput { node, .. }
            | Self::Failed { node, .. }
            | Self::Configuration { node, .. } => node.clone_from(other),
        }
        self
    }
}
