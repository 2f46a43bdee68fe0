//! One run at a time: a lock on every node, held by a process there that lives as long as the run.
//!
//! The holder keeps an flock(2) and reads heartbeats. When the run ends, is killed or loses its connection, the
//! kernel releases the lock; when heartbeats stay away for [`LOCK_EXPIRY`], the holder gives it back itself.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::names::NodeName;
use crate::transport::{Command, Fleet, Session, TransportError};

/// Where the lock is; gone at the next boot, as its holder is.
const LOCK_PATH: &str = "/run/hactl.lock";
/// After how long without a heartbeat a node releases the lock.
pub const LOCK_EXPIRY: Duration = Duration::from_secs(60);
/// How often a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time that one may wait for a lock.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long a lock may be held: as long as the longest run.
const HOLD_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// `$1` path, `$2` seconds to wait, `$3` who we are, `$4` seconds without heartbeat. Says `held WHO` or `taken`.
const HOLD: &str = r#"exec 9>>"$1" || exit 1
if ! flock -w "$2" 9; then printf 'held %s\n' "$(head -c 512 "$1" | head -n 1)"; exit 75; fi
printf '%s\n' "$3" >"$1" || exit 1
printf 'taken\n'
while IFS= read -r -t "$4" _; do :; done
: >"$1""#;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("{node} is locked by another run: {holder}")]
    Held {
        /// On which node.
        node: NodeName,
        /// Who, since when.
        holder: String,
    },
    /// The node could not be asked.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The node answered something else.
    #[error("{node}: cannot take the lock {LOCK_PATH}: {reason}")]
    Refused {
        /// On which node.
        node: NodeName,
        /// What it said.
        reason: String,
    },
}

/// The locks of a run; dropping it releases them.
pub struct Locks {
    heartbeat: JoinHandle<()>,
    lost: watch::Receiver<Option<String>>,
}

impl Locks {
    /// Takes the lock on every node in turn, always in the same order, so that two runs cannot wait for each other.
    ///
    /// # Errors
    /// Another run holds one of them for longer than `wait`, or a node could not be asked. None is kept then.
    pub async fn take(
        fleet: &Fleet,
        nodes: &BTreeSet<NodeName>,
        owner: &str,
        wait: Duration,
    ) -> Result<Self, LockError> {
        let mut sessions = Vec::with_capacity(nodes.len());
        for (node, transport) in fleet.iter().filter(|(node, _)| nodes.contains(*node)) {
            sessions.push((node.clone(), hold(transport.as_ref(), node, owner, wait).await?));
        }
        let (lost_sender, lost) = watch::channel(None);
        let heartbeat = tokio::spawn(async move {
            let mut tick = tokio::time::interval(HEARTBEAT_INTERVAL);
            loop {
                tick.tick().await;
                for (node, session) in &mut sessions {
                    if let Err(error) = session.write(Bytes::from_static(b"\n")).await {
                        // Nobody listening means that the run is over.
                        lost_sender.send(Some(format!("the lock on {node} was lost: {error}"))).ok();
                        return;
                    }
                }
            }
        });
        Ok(Self { heartbeat, lost })
    }

    /// Becomes `Some(reason)` when a lock was lost.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // The sessions go with the task, and with their stdin the holders on the nodes.
        self.heartbeat.abort();
    }
}

async fn hold(
    transport: &dyn crate::transport::Transport,
    node: &NodeName,
    owner: &str,
    wait: Duration,
) -> Result<Box<dyn Session>, LockError> {
    let wait_s = wait.min(MAX_LOCK_WAIT).as_secs().to_string();
    let expiry_s = LOCK_EXPIRY.as_secs().to_string();
    let argv = ["bash", "-c", HOLD, "bash", LOCK_PATH, &wait_s, owner, &expiry_s];
    let mut session = transport.open(&Command::new(argv).timeout(HOLD_LIMIT)).await?;
    match session.line().await? {
        Some(line) if line == "taken" => Ok(session),
        Some(line) => {
            let holder = line.strip_prefix("held ").unwrap_or(&line).trim();
            let holder = if holder.is_empty() { "somebody who left no name" } else { holder };
            Err(LockError::Held { node: node.clone(), holder: holder.to_owned() })
        }
        None => {
            let output = session.finish().await?;
            Err(LockError::Refused { node: node.clone(), reason: super::run::tail(&output) })
        }
    }
}
