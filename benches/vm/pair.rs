//! The pair of virtual machines, taken down when it is dropped.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;

/// The lab's name; its networks follow from it.
const NAME: &str = "bench-vm";
/// The node that writes.
pub(crate) const WRITER: &str = "alpha";
/// The other one.
pub(crate) const PEER: &str = "beta";

/// Two virtual machines that are up.
pub(crate) struct Pair {
    status: serde_json::Value,
}

impl Pair {
    /// Brings them up; what an earlier run left is taken down first.
    pub(crate) fn up() -> Result<Self> {
        run(&["down", "--name", NAME])?;
        let mut pair = Self { status: serde_json::Value::Null };
        let disks = "raw=256MiB,data=256MiB,sealed=256MiB,open=256MiB";
        run(&["up", "--name", NAME, "--backend", "vm", "--baked", "--nodes", "2", "--disks", disks])?;
        pair.status = serde_json::from_str(&run(&["status", "--name", NAME, "--json"])?)?;
        Ok(pair)
    }

    /// What a line of shell prints on a node, where it must succeed.
    pub(crate) fn on(&self, node: &str, shell: &str) -> Result<String> {
        run(&["ssh", "--name", NAME, node, "--", shell])
    }

    /// Puts this program's executable on both nodes, without what only a debugger reads.
    pub(crate) fn send_executable(&self, to: &str) -> Result<()> {
        let bare = folder()?.join("hactl");
        let send = "set -o pipefail; strip -o \"$1\" \"$2\" && gzip -1 <\"$1\" | \"$2\" lab ssh --name \"$3\" \"$4\" -- \
                    \"gunzip >$5 && chmod 755 $5\"";
        for node in [WRITER, PEER] {
            let mut command = Command::new("bash");
            command.args(["-c", send, "bash", bare.as_str(), env!("CARGO_BIN_EXE_hactl"), NAME, node, to]);
            finish(command.stdin(Stdio::null()))?;
        }
        std::fs::remove_file(&bare).with_context(|| format!("cannot remove {bare}"))
    }

    /// Breaks something.
    pub(crate) fn fault(&self, words: &[&str]) -> Result<()> {
        run(&[&["fault", "--name", NAME], words].concat()).map(drop)
    }

    /// The address of a node on the second network.
    pub(crate) fn second_address(&self, node: &str) -> Result<String> {
        let nodes = self.status["nodes"].as_array().context("the lab names its nodes")?;
        let found = nodes.iter().find(|found| found["name"] == node).context("the lab has the node")?;
        Ok(found["addresses"][1].as_str().context("it is on two networks")?.to_owned())
    }

    /// What the machines run on.
    pub(crate) fn accelerator(&self) -> Result<String> {
        Ok(self.status["accelerator"].as_str().context("the lab says what its machines run on")?.to_owned())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Err(error) = run(&["down", "--name", NAME]) {
            eprintln!("the lab {NAME} could not be taken down: {error:#}");
        }
    }
}

/// Runs `hactl lab` with these words; what it prints.
fn run(words: &[&str]) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    finish(command.arg("lab").args(words).stdin(Stdio::null()))
}

/// Runs a command, which must succeed; what it prints.
fn finish(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).context("it printed something that is not text")
}

/// Where the result goes.
pub(crate) fn folder() -> Result<Utf8PathBuf> {
    // The executable is target/release/hactl, wherever target is.
    let executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_hactl"));
    let target = executable.parent().and_then(|profile| profile.parent()).context("no target folder")?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {folder}"))?;
    Ok(folder)
}
