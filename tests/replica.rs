//! `hactl replica` as users have it: two nodes of a volume on one machine, from blank disks to a volume that has grown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const DISK_BYTES: u64 = 32 << 20;
const GROWN_BYTES: u64 = 48 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
const REFUSED: i32 = 5;
const USAGE: i32 = 3;
const FAILED: i32 = 1;

struct Volume {
    folder: TempDir,
}

impl Volume {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let disk = |node: &str| folder.path().join(node).display().to_string();
        let text = format!(
            "version: 1
nodes:
  alpha: {{ id: 0, address: '127.0.0.1:{}', disk: {} }}
  beta: {{ id: 1, address: '127.0.0.1:{}', disk: {} }}
net: {{ shared-secret: of this test only, ping-timeout: 100, timeout: 200 }}
",
            port(),
            disk("alpha"),
            port(),
            disk("beta")
        );
        std::fs::write(folder.path().join("r0.yml"), text).unwrap();
        for node in ["alpha", "beta"] {
            File::create(folder.path().join(node)).unwrap().set_len(DISK_BYTES).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `hactl replica VERB r0` on a node. Only verbs that look at the volume's file are told which node it is.
    fn run(&self, node: &str, verb: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
        command.arg("replica").arg(verb[0]).arg("r0").args(&verb[1..]);
        command.arg("--config").arg(self.path().join("r0.yml"));
        command.arg("--run-dir").arg(self.path().join(format!("run-{node}")));
        if ["create-md", "up", "serve"].contains(&verb[0]) {
            command.args(["--node", node]);
        }
        command.output().unwrap()
    }

    fn does(&self, node: &str, verb: &[&str]) -> String {
        let output = self.run(node, verb);
        assert!(output.status.success(), "{node}: {verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, node: &str, verb: &[&str]) -> String {
        let output = self.run(node, verb);
        assert_eq!(output.status.code(), Some(REFUSED), "{node}: {verb:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn status(&self, node: &str) -> Value {
        serde_json::from_str(&self.does(node, &["status", "--json"])).unwrap()
    }

    fn wait(&self, node: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(node);
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{node}: waited in vain until {what}: {status:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn enlarge(&self, node: &str) {
        File::options().write(true).open(self.path().join(node)).unwrap().set_len(GROWN_BYTES).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // The processes that `up` started outlive it; those that are down already do not mind.
        for node in ["alpha", "beta"] {
            self.run(node, &["down"]);
        }
    }
}

fn in_sync(status: &Value) -> bool {
    let peer = &status["connections"][0]["peer_devices"][0];
    status["devices"][0]["disk-state"] == "UpToDate"
        && peer["peer-disk-state"] == "UpToDate"
        && peer["replication-state"] == "Established"
}

#[test]
fn a_volume_from_blank_disks_to_a_larger_one() {
    let volume = Volume::new();
    assert_eq!(volume.run("gamma", &["up"]).status.code(), Some(USAGE), "no node of this volume");
    for node in ["alpha", "beta"] {
        volume.does(node, &["create-md"]);
        assert!(volume.refuses(node, &["create-md"]).contains("metadata already"));
        volume.does(node, &["up"]);
    }
    volume.wait("alpha", "the handshake is over", |status| {
        status["connections"][0]["peer_devices"][0]["replication-state"] == "Established"
    });
    assert!(volume.refuses("alpha", &["primary"]).contains("no UpToDate data"));
    volume.does("alpha", &["new-current-uuid", "--clear-bitmap"]);
    volume.wait("alpha", "both are up to date", in_sync);
    volume.does("alpha", &["primary"]);
    assert!(volume.refuses("beta", &["primary"]).contains("Primary"));
    let before = volume.status("alpha")["devices"][0]["size"].as_u64().unwrap();
    volume.enlarge("alpha");
    let refusal = volume.refuses("alpha", &["resize", "--size", &(40_u64 << 20).to_string()]);
    assert!(refusal.contains("the disk of beta has room for a volume of"), "{refusal}");
    volume.enlarge("beta");
    volume.does("alpha", &["resize"]);
    volume.wait("alpha", "what is new is equal", in_sync);
    let after = volume.status("alpha")["devices"][0]["size"].as_u64().unwrap();
    assert!(after > before + (15 << 10), "{before} KiB became {after} KiB");
    let metrics = volume.does("alpha", &["metrics"]);
    let sample =
        |text: &str| assert!(metrics.lines().any(|line| line == text), "{text} is not in\n{metrics}");
    sample(&format!("hactl_replica_size_bytes{{volume=\"r0\"}} {}", after * 1024));
    sample("hactl_replica_role{volume=\"r0\",state=\"Primary\"} 1");
    sample("hactl_replica_peer_disk_state{volume=\"r0\",peer=\"beta\",state=\"UpToDate\"} 1");
    assert!(volume.does("beta", &["status"]).contains("role:Secondary"));
    volume.does("alpha", &["secondary"]);
    volume.does("beta", &["primary"]);
    for node in ["alpha", "beta"] {
        volume.does(node, &["down"]);
        let deadline = Instant::now() + PATIENCE;
        while volume.run(node, &["status"]).status.success() {
            assert!(Instant::now() < deadline, "{node}: the process does not end");
        }
        volume.does(node, &["down"]);
    }
    std::fs::remove_file(volume.path().join("r0.yml")).unwrap();
    std::fs::remove_dir_all(volume.path().join("run-alpha")).unwrap();
    let unknown = volume.run("alpha", &["down"]);
    assert_eq!(unknown.status.code(), Some(FAILED), "there is no such volume");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("does not run"));
}
