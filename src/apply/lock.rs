//! One run at a time: a lock on every node, held by a process there that lives as long as the run.
//!
//! The holder keeps an flock(2) and reads heartbeats. When the run ends, is killed or loses its connection, the
//! kernel releases the lock; when heartbeats stay away for [`LOCK_EXPIRY`], the holder gives it back itself.
//!
//! What a killed run had begun on a node goes on there without it (a package manager at work, say). Every command that
//! changes something therefore holds a second lock, shared, and who takes the first waits until nobody holds the second.
//!
//! The files stay until the next boot, but for those that a destroy removes while it holds the first lock. Who had opened
//! the first file before that and gets its lock afterwards holds a file that is gone; it notices, and takes the new one.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{Event, EventSink};
use crate::names::NodeName;
use crate::transport::{Command, Fleet, Session, TransportError};

/// Where the lock is.
const LOCK_PATH: &str = "/run/hactl.lock";
/// Held, shared, by every command that changes something.
const BUSY_PATH: &str = "/run/hactl.busy";
/// What such a command is run by.
pub(super) const AT_WORK: [&str; 4] = ["flock", "--shared", "--close", BUSY_PATH];
/// How long the commands of a killed run may take to end: as long as the longest step.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(1200);
/// After how long without a heartbeat a node releases the lock.
pub const LOCK_EXPIRY: Duration = Duration::from_secs(60);
/// How often a heartbeat is sent.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time that one may wait for a lock.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long a lock may be held: as long as the longest run.
const HOLD_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the holder is told instead of a heartbeat when the files are to go.
const FORGET: &[u8] = b"forget\n";
/// How long that may take.
const FORGET_LIMIT: Duration = Duration::from_secs(20);

/// `$1` path, `$2` seconds to wait, `$3` who we are, `$4` seconds without heartbeat, `$5` and `$6` the second lock and
/// the seconds to wait for it. Says `held WHO`; or `taken`, after `busy` where it has to wait; or `stuck`.
const HOLD: &str = r#"end=$((SECONDS + $2))
while :; do
    exec 9>>"$1" || exit 1
    left=$((end - SECONDS)); [ "$left" -gt 0 ] || left=0
    if ! flock -w "$left" 9; then printf 'held %s\n' "$(head -c 512 "$1" | head -n 1)"; exit 75; fi
    [ "$1" -ef /proc/self/fd/9 ] && break
done
printf '%s\n' "$3" >"$1" || exit 1
exec 8>>"$5" || exit 1
if ! flock -n 8; then
    printf 'busy\n'
    if ! flock -w "$6" 8; then printf 'stuck\n'; exit 75; fi
fi
exec 8>&-
printf 'taken\n'
while IFS= read -r -t "$4" word; do
    if [ "$word" = forget ]; then exec rm -f -- "$5" "$1"; fi
done
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
    /// What a killed run began there does not end.
    #[error("{node} is locked: what an earlier run began there has not ended after {} s; see `fuser -v {BUSY_PATH}` on the node", LEFTOVER_LIMIT.as_secs())]
    Stuck {
        /// On which node.
        node: NodeName,
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
    holders: JoinHandle<()>,
    forget: Option<oneshot::Sender<()>>,
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
        events: &dyn EventSink,
    ) -> Result<Self, LockError> {
        let mut sessions = Vec::with_capacity(nodes.len());
        for (node, transport) in fleet.iter().filter(|(node, _)| nodes.contains(*node)) {
            sessions.push((node.clone(), hold(transport.as_ref(), node, owner, wait, events).await?));
        }
        let (lost_sender, lost) = watch::channel(None);
        let (forget, mut forgotten) = oneshot::channel();
        let holders = tokio::spawn(async move {
            let mut tick = tokio::time::interval(HEARTBEAT_INTERVAL);
            loop {
                tokio::select! {
                    Ok(()) = &mut forgotten => return remove_files(sessions).await,
                    _ = tick.tick() => {}
                }
                // A node that is gone does not give the others away: the run has still to finish what it began there.
                let mut kept = Vec::with_capacity(sessions.len());
                for (node, mut session) in sessions {
                    match session.write(Bytes::from_static(b"\n")).await {
                        Ok(()) => kept.push((node, session)),
                        // Nobody listening means that the run is over.
                        Err(error) => {
                            drop(lost_sender.send(Some(format!("the lock on {node} was lost: {error}"))))
                        }
                    }
                }
                if kept.is_empty() {
                    return;
                }
                sessions = kept;
            }
        });
        Ok(Self { holders, forget: Some(forget), lost })
    }

    /// Releases the locks and removes their files, when nothing of hactl's is to stay on the nodes. A file that cannot be
    /// removed stays until the node boots, which does no harm.
    pub async fn forget(mut self) {
        if let Some(forget) = self.forget.take()
            && forget.send(()).is_ok()
        {
            // Too late or failed: see above.
            let _ = tokio::time::timeout(FORGET_LIMIT, &mut self.holders).await;
        }
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
        self.holders.abort();
    }
}

async fn remove_files(sessions: Vec<(NodeName, Box<dyn Session>)>) {
    let removed = sessions.into_iter().map(|(_, mut session)| async move {
        // A holder that is gone has nothing left to remove with.
        if session.write(Bytes::from_static(FORGET)).await.is_ok() {
            let _ = session.finish().await;
        }
    });
    join_all(removed).await;
}

async fn hold(
    transport: &dyn crate::transport::Transport,
    node: &NodeName,
    owner: &str,
    wait: Duration,
    events: &dyn EventSink,
) -> Result<Box<dyn Session>, LockError> {
    let wait_s = wait.min(MAX_LOCK_WAIT).as_secs().to_string();
    let (expiry_s, leftover_s) = (LOCK_EXPIRY.as_secs().to_string(), LEFTOVER_LIMIT.as_secs().to_string());
    let holder = ["hactl-lock", LOCK_PATH, &wait_s, owner, &expiry_s, BUSY_PATH, &leftover_s];
    let command = Command::new(holder).wrapped(["bash", "-c", HOLD]).timeout(HOLD_LIMIT);
    let mut session = transport.open(&command).await?;
    while let Some(line) = session.line().await? {
        match line.as_str() {
            "taken" => return Ok(session),
            "stuck" => return Err(LockError::Stuck { node: node.clone() }),
            "busy" => events.emit(Event::Note {
                text: format!("{node}: waiting for what an earlier run began there to end"),
            }),
            other => {
                let holder = other.strip_prefix("held ").unwrap_or(other).trim();
                let holder = if holder.is_empty() { "somebody who left no name" } else { holder };
                return Err(LockError::Held { node: node.clone(), holder: holder.to_owned() });
            }
        }
    }
    let output = session.finish().await?;
    Err(LockError::Refused { node: node.clone(), reason: super::run::tail(&output) })
}
