//! The equivalent shell probe: OpenSSH connections, all nodes at once, that run the very scripts that hactl sends.
//!
//! The scripts are recorded on the nodes: a second key may log in, whose forced command keeps what it is sent and
//! then runs it. Both of hactl's round trips become one script, sent over one connection of one `ssh` per node: the
//! least that a person could do who knew beforehand what to ask.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::command::{run, text};

/// How a script that arrives on stdin is run: as hactl does it.
const RUN_STDIN: &str = r#"exec sh -c 'eval "$(cat)"'"#;

/// A forced command. `$SSH_CONNECTION` is client, port, server, port; the names of records sort by time.
const RECORDER: &str = r#"#!/bin/sh
set -- $SSH_CONNECTION
mkdir -p "RECORDS/$3" || exit 1
tee "RECORDS/$3/$(date +%s%N)" | sh -c "$SSH_ORIGINAL_COMMAND"
"#;

/// The way to a number of hosts.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// What every command line begins with; empty for none.
    pub(crate) wrapper: Vec<String>,
    /// The private key.
    pub(crate) identity: Utf8PathBuf,
    /// The hosts' keys.
    pub(crate) known_hosts: Utf8PathBuf,
    /// The port.
    pub(crate) port: u16,
}

impl Way {
    /// A program in the network from which the hosts are reached.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut words = self.wrapper.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words);
        command
    }

    /// `ssh` to a host, without any of the user's own settings and without sharing connections.
    pub(crate) fn ssh(&self, address: &str) -> Command {
        let mut ssh = self.command("ssh");
        ssh.args([
            "-F",
            "none",
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            "ControlPath=none",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        ssh.args(["-i", self.identity.as_str(), "-o", &format!("UserKnownHostsFile={}", self.known_hosts)]);
        ssh.args(["-p", &self.port.to_string(), "-l", "root", address]);
        ssh
    }
}

/// The recorder for records below a folder.
pub(crate) fn recorder(records: &str) -> String {
    RECORDER.replace("RECORDS", records)
}

/// Makes a key for the recorder and returns it with its public half.
///
/// # Errors
/// ssh-keygen fails.
pub(crate) fn key(path: &Utf8Path) -> Result<String> {
    for stale in [path.to_owned(), path.with_extension("pub")] {
        if stale.exists() {
            std::fs::remove_file(&stale)?;
        }
    }
    run(Command::new("ssh-keygen").args([
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "hactl-bench",
        "-f",
        path.as_str(),
    ]))?;
    Ok(std::fs::read_to_string(path.with_extension("pub"))?.trim().to_owned())
}

/// A script for each host, and the way there.
#[derive(Debug)]
pub(crate) struct Probe {
    way: Way,
    scripts: BTreeMap<String, Utf8PathBuf>,
}

impl Probe {
    /// Keeps the scripts (by address) in files below a folder.
    ///
    /// # Errors
    /// A script is empty, which means that nothing was recorded; the folder cannot be written.
    pub(crate) fn new(way: Way, scripts: &BTreeMap<String, String>, folder: &Utf8Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut files = BTreeMap::new();
        for (address, script) in scripts {
            ensure!(!script.trim().is_empty(), "nothing was recorded on {address}");
            let file = folder.join(address);
            std::fs::write(&file, script)?;
            files.insert(address.clone(), file);
        }
        ensure!(!files.is_empty(), "no script was recorded");
        Ok(Self { way, scripts: files })
    }

    /// Runs the scripts, `parallel` hosts at a time.
    ///
    /// # Errors
    /// One of them fails.
    pub(crate) fn run(&self, parallel: usize) -> Result<Duration> {
        let hosts: Vec<_> = self.scripts.iter().collect();
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        let work = || -> Result<()> {
            while let Some((address, script)) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                let script = File::open(script).with_context(|| format!("cannot open {script}"))?;
                let mut ssh = self.way.ssh(address);
                let status =
                    ssh.arg(RUN_STDIN).stdin(script).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
                ensure!(status.success(), "{ssh:?} ended with {status}");
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..parallel.min(hosts.len())).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread that runs ssh has failed"),
                }
            }
            Ok(())
        })?;
        Ok(began.elapsed())
    }
}

/// Runs a command on a host and returns what it prints.
///
/// # Errors
/// It fails.
pub(crate) fn on(way: &Way, address: &str, command: &str) -> Result<String> {
    text(way.ssh(address).arg(command)).with_context(|| format!("on {address}"))
}

/// Writes a file on a host.
///
/// # Errors
/// The host cannot write it.
pub(crate) fn put(way: &Way, address: &str, path: &str, content: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut ssh = way.ssh(address);
    let mut child = ssh.arg(format!("cat >'{path}'")).stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("it has a stdin")?;
    stdin.write_all(content)?;
    drop(stdin);
    let status = child.wait()?;
    ensure!(status.success(), "writing {path} on {address}: {status}");
    Ok(())
}
