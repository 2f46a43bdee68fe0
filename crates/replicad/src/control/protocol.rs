//! The lines of the control socket.

use serde::{Deserialize, Serialize};

/// The version in every line.
pub const PROTOCOL_VERSION: u32 = 1;

/// What can be ordered, in DRBD's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Verb {
    /// How it is.
    Status,
    /// Metrics, in Prometheus's text format.
    Metrics,
    /// How it is, and then everything that happens.
    Events,
    /// Attach the disk and connect to all peers.
    Up,
    /// Demote, disconnect, detach, and end the process.
    Down,
    /// Become Primary.
    Primary {
        /// Without good data, quorum or fencing if need be.
        #[serde(default)]
        force: bool,
    },
    /// Become Secondary.
    Secondary {
        /// Failing requests that wait.
        #[serde(default)]
        force: bool,
    },
    /// Connect to a peer, or to all.
    Connect {
        /// Which.
        #[serde(default)]
        peer: Option<String>,
        /// After split brain, throw away the data here.
        #[serde(default)]
        discard_my_data: bool,
    },
    /// Disconnect from a peer, or from all.
    Disconnect {
        /// Which.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Use the disk.
    Attach,
    /// Give up the disk.
    Detach,
    /// Compare with a peer, and mark what differs.
    Verify {
        /// Which; none: the only one with a disk.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Throw the data here away, and take the peer's.
    Invalidate {
        /// Whose; none: that of the only one with a disk.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Throw a peer's data away, and send it ours.
    InvalidateRemote {
        /// Whose; none: that of the only one with a disk.
        #[serde(default)]
        peer: Option<String>,
    },
    /// Make the volume larger, on all nodes, after their devices have grown.
    Resize {
        /// Bytes; none: as many as all disks have room for.
        #[serde(default)]
        size: Option<u64>,
        /// What is new counts as equal, and is not copied.
        #[serde(default)]
        assume_clean: bool,
    },
    /// The data here is outdated from now on.
    Outdate,
    /// Stop I/O.
    SuspendIo,
    /// Let it go on.
    ResumeIo,
    /// Begin a new generation.
    NewCurrentUuid {
        /// Two blank disks count as equal. So far the only way.
        #[serde(default)]
        clear_bitmap: bool,
    },
}

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// What is ordered.
    #[serde(flatten)]
    pub verb: Verb,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// Not in this state of the volume; nothing was changed by the step that was refused.
    Refused,
    /// The request is none, or it could not be carried out.
    Failed,
}

/// An answer line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The status, for those who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
    /// The metrics, for those who asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

impl Reply {
    /// One without status or metrics.
    #[must_use]
    pub fn new(outcome: Outcome, message: Option<String>) -> Self {
        Self { version: PROTOCOL_VERSION, outcome, message, status: None, metrics: None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    #[test]
    fn lines_are_as_documented() {
        let request = |text: &str| serde_json::from_str::<Request>(text).unwrap().verb;
        assert_eq!(request(r#"{"version":1,"verb":"primary"}"#), Verb::Primary { force: false });
        let connect = Verb::Connect { peer: Some("beta".to_owned()), discard_my_data: true };
        assert_eq!(
            request(r#"{"version":1,"verb":"connect","peer":"beta","discard-my-data":true}"#),
            connect
        );
        let line = serde_json::to_string(&Reply::new(Outcome::Refused, Some("no".to_owned()))).unwrap();
        assert_eq!(line, r#"{"version":1,"outcome":"refused","message":"no"}"#);
    }
}
