//! What `corosync-quorumtool -s` (also with `-p`, `-i`, `-a`, `-o…`, `-H`) prints.
//!
//! In: its standard output. Out: a [`QuorumStatus`]. Lenient: lines that are not known are passed over; an output
//! without the `Quorate:` line is an error, since that is the question that was asked.

/// Largest output read, in bytes. A cluster of 100 nodes prints about 5 kB.
const MAX_OUTPUT_BYTES: usize = 256 * 1024;
/// Most members read.
const MAX_MEMBERS: usize = 1024;

/// Why the output of a status command cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Larger than the limit.
    #[error("the output of {command} has {bytes} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The command.
        command: &'static str,
        /// The output's size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The part that matters is missing.
    #[error("the output of {command} has no `{what}`")]
    Missing {
        /// The command.
        command: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// A line has not the form it should have.
    #[error("the output of {command} cannot be read at line {line}: `{text}`")]
    Malformed {
        /// The command.
        command: &'static str,
        /// The line, counted from 1.
        line: usize,
        /// The line's text.
        text: String,
    },
}

pub(super) fn bounded(command: &'static str, text: &str, limit: usize) -> Result<(), StatusError> {
    if text.len() > limit {
        return Err(StatusError::TooLarge { command, bytes: text.len(), limit });
    }
    Ok(())
}

/// One line of the membership table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node id; 0 for the quorum device.
    pub nodeid: u32,
    /// Votes; `None` without votequorum.
    pub votes: Option<u32>,
    /// State of the quorum device as this member sees it (`A,V,NMW`; `NR` when not registered).
    pub qdevice: Option<String>,
    /// Name, or addresses with `-i`.
    pub name: String,
    /// Whether it is the node that was asked.
    pub local: bool,
}

/// The state of quorum as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Whether the node's partition has quorum.
    pub quorate: bool,
    /// `corosync_votequorum`, or `Not configured`.
    pub provider: Option<String>,
    /// Nodes in the partition.
    pub nodes: Option<u32>,
    /// The id of the node that was asked.
    pub node_id: Option<u32>,
    /// The ring's id, such as `1.a`: the same on all members of a partition.
    pub ring_id: Option<String>,
    /// Votes expected.
    pub expected_votes: Option<u32>,
    /// Votes present.
    pub total_votes: Option<u32>,
    /// Votes needed.
    pub quorum: Option<u32>,
    /// `2Node`, `Quorate`, `WaitForAll`, `LastManStanding`, `AutoTieBreaker`, `AllowDownscale`, `Qdevice`.
    pub flags: Vec<String>,
    /// Members of the partition, and the quorum device (id 0) if there is one.
    pub members: Vec<Member>,
}

impl QuorumStatus {
    /// Whether votequorum reports the flag.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }
}

/// Reads the output of `corosync-quorumtool -s`. Its exit status (2 when not quorate) is not needed.
///
/// # Errors
/// When the output is too large or does not say whether there is quorum.
pub fn parse_quorum_status(text: &str) -> Result<QuorumStatus, StatusError> {
    const COMMAND: &str = "corosync-quorumtool";
    bounded(COMMAND, text, MAX_OUTPUT_BYTES)?;
    let mut status = QuorumStatus::default();
    let mut quorate = None;
    let mut lines = text.lines().enumerate();
    for (_, line) in lines.by_ref() {
        if line.trim() == "Membership information" {
            break;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "Quorate" => quorate = Some(value == "Yes"),
            "Quorum provider" => status.provider = Some(value.to_owned()),
            "Nodes" => status.nodes = value.parse().ok(),
            "Node ID" => status.node_id = node_id(value),
            "Ring ID" => status.ring_id = Some(value.to_owned()),
            "Expected votes" => status.expected_votes = value.parse().ok(),
            "Total votes" => status.total_votes = value.parse().ok(),
            // "2  ", "2 Activity blocked"
            "Quorum" => status.quorum = value.split_whitespace().next().and_then(|word| word.parse().ok()),
            "Flags" => status.flags = value.split_whitespace().map(str::to_owned).collect(),
            _ => {}
        }
    }
    status.quorate = quorate.ok_or(StatusError::Missing { command: COMMAND, what: "Quorate:" })?;
    let mut header: Option<Vec<&str>> = None;
    for (index, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (&header, words.first()) {
            (_, None) => {}
            (None, Some(&"Nodeid")) => header = Some(words),
            (None, Some(_)) => {}
            (Some(columns), Some(_)) if status.members.len() < MAX_MEMBERS => {
                let malformed =
                    || StatusError::Malformed { command: COMMAND, line: index + 1, text: line.to_owned() };
                status.members.push(member(columns, &words).ok_or_else(malformed)?);
            }
            (Some(_), Some(_)) => break,
        }
    }
    Ok(status)
}

fn node_id(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn member(columns: &[&str], words: &[&str]) -> Option<Member> {
    let mut rest = words;
    let mut take = || {
        let (first, others) = rest.split_first()?;
        rest = others;
        Some(*first)
    };
    let nodeid = node_id(take()?)?;
    let votes = if columns.contains(&"Votes") { Some(take()?.parse().ok()?) } else { None };
    // The row of the device itself leaves the column empty.
    let qdevice = if columns.contains(&"Qdevice") && nodeid != 0 { Some(take()?.to_owned()) } else { None };
    let mut name: Vec<&str> = rest.to_vec();
    let local = name.last() == Some(&"(local)");
    if local {
        name.pop();
    }
    Some(Member { nodeid, votes, qdevice, name: name.join(" "), local })
}
