//! The engine: one process alone, or a pair of them over loopback.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use replicad::control::{Connection, Outcome, Verb};
use serde_json::Value;

use crate::command::run;
use crate::disks::Disks;
use crate::process::{Process, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_replicad");
const VOLUME: &str = "bench";
/// The node that writes.
const WRITER: &str = "alpha";
/// The other one.
const PEER: &str = "beta";

/// What a pair is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    /// Protocol A, B or C.
    pub(crate) protocol: char,
    /// The connection is authenticated and encrypted.
    pub(crate) encrypted: bool,
}

/// One node.
pub(crate) struct Node {
    pub(crate) process: Process,
    folder: PathBuf,
}

impl Node {
    fn start(disks: &Disks, config: &str, name: &str) -> Result<Self> {
        let folder = disks.small(&format!("run-{name}"));
        let run_folder = folder.display().to_string();
        let words = ["serve", VOLUME, config, name, &run_folder];
        let process = Process::start(PROGRAM, &words, &disks.small(&format!("{name}.log")))?;
        let mut node = Self { process, folder };
        let control = node.socket("control");
        node.process.until("the engine answers", || Connection::open(&control).ok())?;
        Ok(node)
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.join(VOLUME).join(name)
    }

    /// Where its clients find it.
    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///{VOLUME}?socket={}", self.socket("nbd").display())
    }

    /// Orders something that must be done.
    pub(crate) fn order(&self, verb: Verb) -> Result<()> {
        let reply = Connection::open(&self.socket("control"))?.call(verb.clone())?;
        if reply.outcome != Outcome::Done {
            bail!("{verb:?} was refused: {}", reply.message.unwrap_or_default());
        }
        Ok(())
    }

    /// How it is.
    pub(crate) fn status(&self) -> Result<Value> {
        let reply = Connection::open(&self.socket("control"))?.call(Verb::Status)?;
        reply.status.context("a status without one")
    }

    /// Waits until its status is as wanted.
    pub(crate) fn wait(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let control = self.socket("control");
        let status = || Connection::open(&control).ok()?.call(Verb::Status).ok()?.status;
        self.process.until(what, || status().filter(|status| holds(status)))
    }

    /// Bytes that it sent to and received from peers since it was started.
    pub(crate) fn wire_bytes(&self) -> Result<u64> {
        let status = self.status()?;
        let kib = |field: &str| status[field].as_u64().with_context(|| format!("no `{field}` in the status"));
        Ok((kib("sent")? + kib("received")?) * 1024)
    }
}

/// What the status says of the only peer.
pub(crate) fn peer(status: &Value) -> &Value {
    &status["connections"][0]["peer_devices"][0]
}

/// Both have the same.
pub(crate) fn in_sync(status: &Value) -> bool {
    let peer = peer(status);
    status["devices"][0]["disk-state"] == "UpToDate"
        && peer["peer-disk-state"] == "UpToDate"
        && peer["replication-state"] == "Established"
        && peer["out-of-sync"] == 0
}

/// The engine without a peer.
pub(crate) fn alone(disks: &Disks) -> Result<Node> {
    let text = format!(
        "version: 1\nnodes:\n  {WRITER}: {{ id: 0, address: '127.0.0.1:{}', disk: {} }}\nnet: {{ unprotected: true }}\n",
        free_port()?,
        disk(disks, "alone")?,
    );
    let config = write_config(disks, "alone.yml", &text)?;
    let mut node = Node::start(disks, &config, WRITER)?;
    node.wait("the disk is attached", |status| status["devices"][0]["disk-state"] != "Diskless")?;
    node.order(Verb::Primary { force: true })?;
    Ok(node)
}

/// Two nodes with equal disks, the first one Primary.
pub(crate) struct Pair {
    pub(crate) writer: Node,
    pub(crate) peer: Node,
    config: String,
}

impl Pair {
    /// Starts both.
    pub(crate) fn start(disks: &Disks, link: Link) -> Result<Self> {
        let protection =
            if link.encrypted { "shared-secret: of this measurement only" } else { "unprotected: true" };
        let text = format!(
            "version: 1\nnodes:\n  {WRITER}: {{ id: 0, address: '127.0.0.1:{}', disk: {} }}\n  \
             {PEER}: {{ id: 1, address: '127.0.0.1:{}', disk: {} }}\nnet: {{ protocol: {}, {protection} }}\n",
            free_port()?,
            disk(disks, WRITER)?,
            free_port()?,
            disk(disks, PEER)?,
            link.protocol,
        );
        let config = write_config(disks, "pair.yml", &text)?;
        // The one that dials comes last: it finds the other at once.
        let peer = Node::start(disks, &config, PEER)?;
        let writer = Node::start(disks, &config, WRITER)?;
        let mut pair = Self { writer, peer, config };
        let settled = |status: &Value| crate::engine::peer(status)["replication-state"] == "Established";
        let status = pair.writer.wait("the two meet", settled)?;
        if !in_sync(&status) {
            // Fresh disks are called equal, not copied: nobody reads what was there before.
            pair.writer.order(Verb::NewCurrentUuid { clear_bitmap: true })?;
        }
        pair.writer.wait("both are up to date", in_sync)?;
        pair.writer.order(Verb::Primary { force: false })?;
        Ok(pair)
    }

    /// Starts the peer again after it was killed.
    pub(crate) fn restart_peer(&mut self, disks: &Disks) -> Result<()> {
        self.peer = Node::start(disks, &self.config, PEER)?;
        Ok(())
    }

    /// Ends both in good order, so that the next pair on these disks finds them equal.
    pub(crate) fn end(mut self) -> Result<()> {
        self.writer.order(Verb::Secondary { force: false })?;
        self.writer.wait("both are up to date", in_sync)?;
        self.writer.process.end()?;
        self.peer.process.end()
    }
}

fn disk(disks: &Disks, name: &str) -> Result<String> {
    let fresh = !disks.has(name);
    let path = disks.file(name)?.display().to_string();
    if fresh {
        run(std::process::Command::new(PROGRAM).args(["create-md", "1", &path]))?;
    }
    Ok(path)
}

fn write_config(disks: &Disks, name: &str, text: &str) -> Result<String> {
    let path = disks.small(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}
