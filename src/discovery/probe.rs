//! What a probe is: the lines of shell that ask, and the pure function that reads the answer.

use crate::transport::TransportError;

/// Exit code of timeout(1) when the time was up.
const TIMED_OUT: u32 = 124;
/// Exit code when timeout(1) had to send KILL (128 + 9).
const KILLED: u32 = 137;
/// Most bytes of a failed command's words that a reason quotes.
const REASON_LIMIT_BYTES: usize = 400;

/// One thing to learn about a node.
pub trait Probe {
    /// What is learned.
    type Fact;

    /// What the probe is called in messages: the command or file that it reads.
    fn name(&self) -> &'static str;

    /// Lines of POSIX shell that print the answer. They run in a subshell of the script that
    /// `script::render` makes, with `within SECONDS COMMAND…` at hand, stdin at its end, `LC_ALL=C` and `TZ=UTC`.
    /// They write nothing but stdout and stderr.
    fn command(&self) -> String;

    /// Reads the answer.
    ///
    /// # Errors
    /// Why the fact could not be learned.
    fn parse(&self, answer: &Answer) -> Result<Self::Fact, ProbeError>;
}

/// What the lines of one probe printed, and how they ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Exit code of the last command.
    pub status: u32,
    /// What was printed; not necessarily UTF-8.
    pub stdout: Vec<u8>,
    /// What was complained about, invalid bytes replaced.
    pub stderr: String,
}

/// Why a probe learned nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProbeError {
    /// The stream ended before the probe's turn came.
    #[error("{probe}: the node's answer ended before this was answered")]
    Unanswered {
        /// The probe.
        probe: &'static str,
    },
    /// The stream ended in the middle of the probe's answer.
    #[error("{probe}: the node's answer broke off in the middle of this one")]
    Cut {
        /// The probe.
        probe: &'static str,
    },
    /// The command was stopped because it took too long.
    #[error("{probe}: it did not finish in time and was stopped")]
    TimedOut {
        /// The probe.
        probe: &'static str,
    },
    /// The command said that it failed.
    #[error("{probe}: exit code {status}: {reason}")]
    Failed {
        /// The probe.
        probe: &'static str,
        /// Exit code.
        status: u32,
        /// What it said.
        reason: String,
    },
    /// The command's output is not what it should be.
    #[error("{probe}: its output was not understood: {reason}")]
    Malformed {
        /// The probe.
        probe: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine is not one that hactl knows how to ask.
    #[error("{probe}: {reason}")]
    Unsupported {
        /// The probe.
        probe: &'static str,
        /// What was found instead.
        reason: String,
    },
    /// The probe was asked alone, because it held up the others, and the way to the node failed.
    #[error("{probe}: {source}")]
    Transport {
        /// The probe.
        probe: &'static str,
        /// What failed.
        source: TransportError,
    },
}

impl Answer {
    /// Whether the time limit ended the command.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(self.status, TIMED_OUT | KILLED)
    }

    /// The failure that this answer is, in the command's own words.
    #[must_use]
    pub fn failure(&self, probe: &'static str) -> ProbeError {
        if self.timed_out() {
            return ProbeError::TimedOut { probe };
        }
        ProbeError::Failed { probe, status: self.status, reason: brief(&self.stderr) }
    }

    /// Fails unless the command exited with 0.
    ///
    /// # Errors
    /// [`ProbeError::TimedOut`] or [`ProbeError::Failed`].
    pub fn succeeded(&self, probe: &'static str) -> Result<&Self, ProbeError> {
        if self.status == 0 { Ok(self) } else { Err(self.failure(probe)) }
    }

    /// What was printed, as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, probe: &'static str) -> Result<&str, ProbeError> {
        std::str::from_utf8(&self.stdout)
            .map_err(|error| ProbeError::Malformed { probe, reason: error.to_string() })
    }
}

/// The words of a failed command on one line, no longer than a reason may be.
#[must_use]
pub(super) fn brief(words: &str) -> String {
    let mut line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "it said nothing".to_owned();
    }
    if line.len() > REASON_LIMIT_BYTES {
        let end = (0..=REASON_LIMIT_BYTES).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Short for a [`ProbeError::Malformed`].
pub(super) fn malformed(probe: &'static str, reason: impl Into<String>) -> ProbeError {
    ProbeError::Malformed { probe, reason: brief(&reason.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(brief("a\n  b\n"), "a b");
        assert_eq!(brief(" \n"), "it said nothing");
        assert!(brief(&"ü".repeat(1000)).len() <= REASON_LIMIT_BYTES + '…'.len_utf8());
    }

    #[test]
    fn a_stopped_command_says_that_it_took_too_long() {
        let answer = Answer { status: 124, ..Answer::default() };
        assert_eq!(answer.failure("lsblk").to_string(), "lsblk: it did not finish in time and was stopped");
    }
}
