//! Who writes and asks while a drill goes on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use tokio::task::JoinSet;

use super::{Drill, DrillError};
use crate::barclamp::Expect;
use crate::names::NodeName;
use crate::transport::{Command, Fleet, Session as RemoteSession};
use crate::verify::Asker;
use crate::verify::drill::{Acknowledged, PAUSE, Request, WRITER, Writes};

/// Longest time that a writer lives, whatever becomes of the run that started it.
const WRITER_LIMIT: Duration = Duration::from_secs(3600);
/// Time between the beginnings of two requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
/// After this time a request counts as lost.
const REQUEST_PATIENCE: Duration = Duration::from_secs(1);

/// What goes on meanwhile; it ends when it is dropped.
pub(super) struct Traffic {
    began: Instant,
    writes: Arc<Mutex<Writes>>,
    requests: Arc<Mutex<Vec<Request>>>,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Nothing goes on yet.
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            writes: Arc::default(),
            requests: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Starts a writer on every node: it writes where the volume is mounted.
    pub(super) async fn write(
        &mut self,
        fleet: &Fleet,
        drill: &Drill,
        directory: &Utf8Path,
        file: &Utf8Path,
        run: &str,
    ) -> Result<(), DrillError> {
        let limit = WRITER_LIMIT.as_secs().to_string();
        for (node, transport) in fleet.iter().filter(|(node, _)| drill.nodes.contains(*node)) {
            let words =
                ["hactl-drill", directory.as_str(), file.as_str(), run, node.as_str(), PAUSE, limit.as_str()];
            let command = Command::new(words).wrapped(["bash", "-c", WRITER]).timeout(WRITER_LIMIT);
            let session = transport.open(&command).await?;
            let (node, writes, began) = (node.clone(), Arc::clone(&self.writes), self.began);
            self.tasks.spawn(listen(session, node, writes, began));
        }
        Ok(())
    }

    /// Starts a client that asks all the time.
    pub(super) fn ask(&mut self, expect: &Expect) -> Result<(), DrillError> {
        let asker = Asker::new(REQUEST_PATIENCE).map_err(DrillError::NotMeasurable)?;
        let (expect, requests, began) = (expect.clone(), Arc::clone(&self.requests), self.began);
        self.tasks.spawn(async move {
            let mut tick = tokio::time::interval(REQUEST_INTERVAL);
            // Those that are not answered yet do not keep the next one from being sent.
            let mut asked = JoinSet::new();
            loop {
                tick.tick().await;
                while asked.try_join_next().is_some() {}
                let (asker, expect, requests) = (asker.clone(), expect.clone(), Arc::clone(&requests));
                asked.spawn(async move {
                    let sent = began.elapsed();
                    let answered = matches!(asker.ask(&expect).await, Some(Ok(())));
                    let request = Request { sent, ended: began.elapsed(), answered };
                    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                });
            }
        });
        Ok(())
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What was acknowledged so far.
    pub(super) fn writes(&self) -> Writes {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a request that was sent since then was answered.
    pub(super) fn answered_since(&self, since: Duration) -> bool {
        self.requests().iter().any(|request| request.answered && request.sent >= since)
    }

    /// Ends the writers and the client.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Notes what a writer tells. That the writer's node dies is what the drill is for: the writer is then over.
async fn listen(
    mut session: Box<dyn RemoteSession>,
    node: NodeName,
    writes: Arc<Mutex<Writes>>,
    began: Instant,
) {
    while let Ok(Some(line)) = session.line().await {
        if let Ok(number) = line.parse() {
            let acknowledged = Acknowledged { node: node.clone(), number, at: began.elapsed() };
            writes.lock().unwrap_or_else(PoisonError::into_inner).push(acknowledged);
        }
    }
}

/// The file of a drill: made on the node with the volume, on stable storage before the first record. `$1` the mount,
/// `$2` the file, `$3` what the names of such files begin with: what killed drills left is removed.
const MAKE: &str = r#"mountpoint -q -- "$1" || { echo "nothing is mounted at $1" >&2; exit 1; }
rm -f -- "$1/$3"* && : >"$2" && chmod 600 -- "$2" && sync -- "$2" "$1""#;
/// Takes it away again, where the volume is mounted.
const REMOVE: &str = r#"if mountpoint -q -- "$1"; then rm -f -- "$2"; fi"#;
/// Succeeds where the volume is mounted and the file is not on it.
const MISSING: &str = r#"mountpoint -q -- "$1" && [ ! -e "$2" ]"#;
/// How long each may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes the file.
pub(super) async fn make_file(
    fleet: &Fleet,
    node: &NodeName,
    directory: &Utf8Path,
    file: &Utf8Path,
) -> Result<(), DrillError> {
    let prefix = crate::verify::drill::FILE_PREFIX;
    let words = ["hactl-drill", directory.as_str(), file.as_str(), prefix];
    let command = Command::new(words).wrapped(["sh", "-c", MAKE]).timeout(FILE_TIMEOUT);
    let Some(transport) = fleet.get(node) else {
        return Err(DrillError::NotMeasurable(format!("{node} is not connected")));
    };
    let output = transport.exec(&command).await?;
    if output.status.success() {
        return Ok(());
    }
    let why = output.stderr_text();
    Err(DrillError::NotMeasurable(format!("{node}: {file} cannot be made: {}", why.trim())))
}

/// Removes the file wherever the volume is mounted. What it cannot remove, the next drill does.
pub(super) async fn remove_file(
    fleet: &Fleet,
    nodes: &BTreeSet<NodeName>,
    directory: &Utf8Path,
    file: &Utf8Path,
) {
    let words = ["hactl-drill", directory.as_str(), file.as_str()];
    let command = &Command::new(words).wrapped(["sh", "-c", REMOVE]).timeout(FILE_TIMEOUT);
    let here = fleet.select(|node| nodes.contains(node));
    here.each(nodes.len(), |transport| async move { transport.exec(command).await.is_ok() }).await;
}

/// Whether a node has the volume mounted, but without the file.
pub(super) async fn is_missing(
    fleet: &Fleet,
    node: &NodeName,
    directory: &Utf8Path,
    file: &Utf8Path,
) -> Result<bool, DrillError> {
    let Some(transport) = fleet.get(node) else { return Ok(false) };
    let words = ["hactl-drill", directory.as_str(), file.as_str()];
    let command = Command::new(words).wrapped(["sh", "-c", MISSING]).timeout(FILE_TIMEOUT);
    Ok(transport.exec(&command).await?.status.success())
}
