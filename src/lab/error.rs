//! Why the lab could not do what it was asked: what was attempted, on what, and what to do.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::prerequisites::Missing;

/// Any failure of the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Programs, kernel features or rights that this machine lacks; all of them, not the first one.
    #[error("this machine cannot run a lab yet:\n{}", list(.0))]
    Prerequisites(Vec<Missing>),
    /// Another process works on this lab.
    #[error("lab `{lab}` is in use by another run ({holder}); try again when it has ended")]
    Busy {
        /// The lab.
        lab: String,
        /// Who holds it, since when.
        holder: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The lab is not up.
    #[error("lab `{lab}` is not up; start it with `hactl lab up --name {lab}`")]
    NotUp {
        /// The lab.
        lab: String,
    },
    /// It is up, but not as asked.
    #[error("lab `{lab}` is up already, with {differences}; `hactl lab down --name {lab}` first")]
    Different {
        /// The lab.
        lab: String,
        /// What it has that was not asked for.
        differences: String,
    },
    /// There is no such node.
    #[error("lab `{lab}` has no node `{node}`; it has {}", .known.join(", "))]
    UnknownNode {
        /// The lab.
        lab: String,
        /// What was asked for.
        node: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A program failed.
    #[error("{attempted}: `{command}` ended with {status}{}", detail(.output))]
    Command {
        /// What it was for.
        attempted: String,
        /// Its argv.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A program or a state took too long.
    #[error("{attempted}: not done after {} s{}", .limit.as_secs(), detail(.state))]
    Timeout {
        /// What was waited for.
        attempted: String,
        /// How long.
        limit: Duration,
        /// How it looked at the end.
        state: String,
    },
    /// The operating system refused something.
    #[error("{attempted} {}: {source}", path.display())]
    Io {
        /// What was attempted ("write", "mount").
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// A record of the lab cannot be understood.
    #[error("{}: {reason}; `hactl lab down` removes the lab", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The host's apt sources name no Debian archive.
    #[error("{0}")]
    Sources(String),
    /// A directory that the lab would have to empty holds other people's files.
    #[error("{} is not a lab's directory (it has no {marker}) and is not empty; name another one with --state-dir", path.display())]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The file that marks a lab's directory.
        marker: &'static str,
    },
    /// What `down` could not remove.
    #[error("lab `{lab}`: still there after `down`: {}", .left.join(", "))]
    Leftover {
        /// The lab.
        lab: String,
        /// What is left, each with its kind.
        left: Vec<String>,
    },
    /// A virtual machine's emulator did not do it.
    #[error("the virtual machine controlled at {}: {reason}", path.display())]
    Emulator {
        /// Its control socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The fence device did not do it.
    #[error("fence device: {0}")]
    Fence(String),
}

impl LabError {
    /// The exit code of the command line (see docs: 1 failed, 3 usage, 7 locked).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::UnknownNode { .. } => 3,
            Self::Busy { .. } => 7,
            _ => 1,
        }
    }

    /// For `map_err` on a file operation.
    pub(crate) fn io(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { attempted, path, source }
    }
}

fn list(missing: &[Missing]) -> String {
    let mut lines: Vec<String> = missing.iter().map(|item| format!("  {item}")).collect();
    let packages: BTreeSet<&str> = missing
        .iter()
        .filter_map(|item| match item {
            Missing::Program { package, .. } => Some(*package),
            Missing::Condition { .. } => None,
        })
        .collect();
    if packages.len() > 1 {
        let packages: Vec<&str> = packages.into_iter().collect();
        lines.push(format!("  all at once: apt-get install --yes {}", packages.join(" ")));
    }
    lines.join("\n")
}

fn detail(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(":\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_with_one_command_for_all() {
        let program = |program, package| Missing::Program { program, package };
        let text = LabError::Prerequisites(vec![
            program("systemd-nspawn", "systemd-container"),
            program("mmdebstrap", "mmdebstrap"),
        ])
        .to_string();
        assert!(text.contains("`mmdebstrap` is not installed: apt-get install --yes mmdebstrap\n"), "{text}");
        assert!(text.ends_with("all at once: apt-get install --yes mmdebstrap systemd-container"), "{text}");
    }
}
