//! QEMU's storage daemon: a file exported, or a quorum of that file and one that another daemon exports over TCP.

use std::path::PathBuf;

use anyhow::Result;

use crate::disks::Disks;
use crate::process::{Process, free_port};

const PROGRAM: &str = "qemu-storage-daemon";
const EXPORT: &str = "bench";

/// A daemon that serves clients, with the one behind it if there is one.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) behind: Option<Process>,
    socket: PathBuf,
}

impl Daemon {
    /// Where its clients find it.
    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///{EXPORT}?socket={}", self.socket.display())
    }
}

/// The words for a file as QEMU is fastest with it.
fn file(disks: &Disks, name: &str) -> Result<String> {
    Ok(format!(
        "driver=file,node-name={name},filename={},cache.direct=on,aio=io_uring,locking=off",
        disks.file(name)?.display()
    ))
}

fn start(disks: &Disks, log: &str, devices: &[String], server: &str, node: &str) -> Result<Process> {
    let export = format!("type=nbd,id=export,node-name={node},name={EXPORT},writable=on");
    let mut words = Vec::new();
    for device in devices {
        words.extend(["--blockdev", device]);
    }
    words.extend(["--nbd-server", server, "--export", &export]);
    Process::start(PROGRAM, &words, &disks.small(log))
}

fn serve(disks: &Disks, devices: &[String], node: &str) -> Result<(Process, PathBuf)> {
    let socket = disks.small("qemu");
    let server = format!("addr.type=unix,addr.path={}", socket.display());
    let mut process = start(disks, "qemu.log", devices, &server, node)?;
    let there = || std::os::unix::net::UnixStream::connect(&socket).ok();
    process.until("QEMU's daemon listens", there)?;
    Ok((process, socket))
}

/// The export of a file.
pub(crate) fn local(disks: &Disks) -> Result<Daemon> {
    let (process, socket) = serve(disks, &[file(disks, "plain")?], "plain")?;
    Ok(Daemon { process, behind: None, socket })
}

/// The export of a quorum: every write goes to both, and counts when both have it; reads are local.
pub(crate) fn quorum(disks: &Disks) -> Result<Daemon> {
    let port = free_port()?;
    let server = format!("addr.type=inet,addr.host=127.0.0.1,addr.port={port}");
    let mut behind = start(disks, "qemu-remote.log", &[file(disks, "remote")?], &server, "remote")?;
    let there = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    behind.until("QEMU's remote daemon listens", there)?;
    let remote = format!(
        "driver=nbd,node-name=far,export={EXPORT},server.type=inet,server.host=127.0.0.1,server.port={port}"
    );
    let both =
        "driver=quorum,node-name=both,vote-threshold=2,read-pattern=fifo,children.0=plain,children.1=far";
    let (process, socket) = serve(disks, &[file(disks, "plain")?, remote, both.to_owned()], "both")?;
    Ok(Daemon { process, behind: Some(behind), socket })
}
