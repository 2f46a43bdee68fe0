//! A lab of a test's own: it begins bare and ends with the test, also when that fails.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Client, Program, Ran};

/// Longest time for bringing a lab up: the first time, an image is built and packages are fetched.
const UP_LIMIT: Duration = Duration::from_secs(600);
/// Longest time for taking a lab down.
const DOWN_LIMIT: Duration = Duration::from_secs(120);
/// Longest time for one run of hactl; the longest installs packages on nodes that share this machine with others.
pub(crate) const RUN_LIMIT: Duration = Duration::from_secs(600);
/// Longest time for a command on a node.
const NODE_LIMIT: Duration = Duration::from_secs(120);
/// Seconds that a condition is looked at by one command on the node. A login for every look keeps an emulated machine busy
/// with logins.
const LOOK_S: u32 = 10;
/// Seconds between two looks: what is looked at comes no sooner for an emulated machine that is busy with being looked at.
const LOOK_INTERVAL_S: &str = "0.3";
const MACHINE_LOOK_INTERVAL_S: &str = "1";
/// The variable that names a file for what tests say while they run. A runner keeps their own output until they end.
const PROGRESS: &str = "HACTL_TEST_PROGRESS";
/// Between two commands: the first one may end at once, on a machine that is not there.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// A lab, its inventory and what is to run in it.
pub(crate) struct TestLab {
    name: String,
    folder: tempfile::TempDir,
    /// The text of the inventory that `hactl lab up` printed; a test may change it, then [`TestLab::write`] it.
    pub(crate) nodes: String,
    /// The text of a second inventory, merged with the first.
    pub(crate) services: String,
    look_interval_s: &'static str,
    began: Instant,
}

impl TestLab {
    /// The name of a test's lab: the same in every run of this checkout, so that leftovers are found, and another in every
    /// checkout, so that they do not meet.
    pub(crate) fn name_of(test: &str) -> String {
        let checkout = hactl::facts::Digest::of(env!("CARGO_MANIFEST_DIR").as_bytes()).to_string();
        let hex: String = checkout.chars().rev().filter(char::is_ascii_hexdigit).take(4).collect();
        format!("t-{test}-{}", hex.to_lowercase())
    }

    /// Brings a lab up. What a killed earlier run of the same test left is taken down first.
    pub(crate) fn up(test: &str, options: &[&str]) -> Self {
        let name = Self::name_of(test);
        let folder = tempfile::Builder::new().prefix(&format!("hactl-{name}-")).tempdir().expect("a folder");
        let machines = options.windows(2).any(|pair| pair == ["--backend", "vm"]);
        let look_interval_s = if machines { MACHINE_LOOK_INTERVAL_S } else { LOOK_INTERVAL_S };
        let (nodes, services, began) = (String::new(), String::new(), Instant::now());
        let mut lab = Self { name, folder, nodes, services, look_interval_s, began };
        lab.down();
        let began = Instant::now();
        let up = lab.lab(&["up"], options, UP_LIMIT).expect(0);
        lab.began = began;
        lab.say(&format!("{} nodes are up", up.out.matches("address:").count()));
        lab.nodes = up.out;
        lab.write();
        lab
    }

    /// The lab's name, which is also that of its cluster.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A free address in the first network.
    pub(crate) fn virtual_ip(&self) -> IpAddr {
        let after = self.nodes.split("address: ").nth(1).expect("the inventory names addresses");
        let address = after.split([',', ' ', '}']).next().unwrap_or_default();
        let (network, _) = address.rsplit_once('.').expect("an IPv4 address");
        format!("{network}.100").parse().expect("an address")
    }

    /// Where HAProxy answers.
    pub(crate) fn service(&self) -> SocketAddr {
        SocketAddr::new(self.virtual_ip(), 80)
    }

    /// A client that asks there all the time.
    pub(crate) fn client(&self) -> Client {
        Client::start(self.service())
    }

    /// Describes HAProxy behind the virtual address, and what else the cluster's section is to have.
    pub(crate) fn web(&mut self, corosync: &str, more: &str) {
        let vip = self.virtual_ip();
        self.services = format!(
            "clusters:\n  {}:\n    barclamps:\n      pacemaker: {{ corosync: {{ {corosync} }} }}\n      \
             haproxy: {{ vip: {{ address: {vip}, prefix: 24 }}, monitor_interval: 5s }}\n{more}",
            self.name
        );
        self.write();
    }

    /// Writes both inventories.
    pub(crate) fn write(&self) {
        std::fs::write(self.path("nodes.yml"), &self.nodes).expect("the inventory can be written");
        let services = if self.services.is_empty() { "clusters: {}\n" } else { &self.services };
        std::fs::write(self.path("services.yml"), services).expect("the inventory can be written");
    }

    /// A file of the test's own.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// hactl with a verb that needs an inventory, not yet started. It writes a log of every remote command.
    pub(crate) fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = hactl();
        command.arg(verb).args(arguments);
        command.arg("--log").arg(self.path("remote.log"));
        command.arg("-i").arg(self.path("nodes.yml"));
        if !self.services.is_empty() {
            command.arg("-i").arg(self.path("services.yml"));
        }
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn hactl(&self, verb: &str, arguments: &[&str]) -> Ran {
        Program::start(&mut self.command(verb, arguments)).finish(RUN_LIMIT)
    }

    /// Runs a line of shell on a node, which must succeed; its stdout.
    #[track_caller]
    pub(crate) fn on(&self, node: &str, shell: &str) -> String {
        self.try_on(node, shell).expect(0).out
    }

    /// Runs a line of shell on a node.
    #[track_caller]
    pub(crate) fn try_on(&self, node: &str, shell: &str) -> Ran {
        self.lab(&["ssh"], &[node, "--", shell], NODE_LIMIT)
    }

    /// Breaks or repairs something: the words after `hactl lab fault`.
    #[track_caller]
    pub(crate) fn fault(&self, words: &[&str]) {
        self.lab(&["fault"], words, NODE_LIMIT).expect(0);
    }

    /// Whether a node has power (`on`, `starting` or `off`), and whether it is frozen.
    #[track_caller]
    pub(crate) fn power(&self, node: &str) -> (String, bool) {
        let status = self.lab(&["status"], &["--json"], NODE_LIMIT).expect(0).json();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let found = nodes.iter().find(|found| found["name"] == node).expect("the lab has the node");
        (found["power"].as_str().unwrap_or_default().to_owned(), found["frozen"] == true)
    }

    /// The nodes' addresses, one for each network.
    #[track_caller]
    pub(crate) fn links(&self) -> BTreeMap<String, Vec<String>> {
        let status = self.lab(&["status"], &["--json"], NODE_LIMIT).expect(0).json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let links = |node: &serde_json::Value| list(&node["addresses"]).iter().map(text).collect();
        list(&status["nodes"]).iter().map(|node| (text(&node["name"]), links(node))).collect()
    }

    /// Address, port and secret of the lab's fence device.
    pub(crate) fn fence_device(&self) -> (String, u16, String) {
        let name = self.name.parse().expect("a lab's name");
        let lab = hactl::lab::Lab::open(&name, None).expect("the lab is up");
        let fence = &lab.record().fence;
        let secret = std::fs::read_to_string(&fence.secret).expect("the secret can be read");
        (fence.ip.to_string(), fence.port, secret)
    }

    /// Puts the built executable on a node, without what only a debugger reads.
    #[track_caller]
    pub(crate) fn send_executable(&self, node: &str, to: &str) {
        let send = "set -o pipefail; strip -o \"$1\" \"$2\" && gzip -1 <\"$1\" | \"$2\" lab ssh --name \"$3\" \"$4\" -- \
                    \"gunzip >$5 && chmod 755 $5\"";
        let mut command = Command::new("bash");
        command.args(["-c", send, "bash"]).arg(self.path("hactl")).arg(env!("CARGO_BIN_EXE_hactl"));
        command.args([self.name(), node, to]);
        Program::start(&mut command).finish(NODE_LIMIT).expect(0);
    }

    /// Waits until a line of shell succeeds on a node.
    #[track_caller]
    pub(crate) fn wait_on(&self, node: &str, what: &str, limit: Duration, shell: &str) {
        let deadline = Instant::now() + limit;
        let looking = format!(
            "now() {{ cut -d. -f1 /proc/uptime; }}; end=$(($(now) + {LOOK_S})); until ( {shell}\n); do \
             [ $(now) -lt $end ] || exit 1; sleep {}; done",
            self.look_interval_s
        );
        loop {
            let ran = self.try_on(node, &looking);
            if ran.code == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "waited {limit:?} until {what}\n{ran}");
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    /// Tells how far the test is and how long it took so far.
    pub(crate) fn say(&self, text: &str) {
        let line = format!("[{} {:6.1} s] {text}", self.name, self.began.elapsed().as_secs_f64());
        eprintln!("{line}");
        if let Some(progress) = std::env::var_os(PROGRESS) {
            let mut file =
                std::fs::OpenOptions::new().append(true).open(progress).expect("progress can be told");
            writeln!(file, "{line}").expect("progress can be told");
        }
    }

    #[track_caller]
    fn lab(&self, verb: &[&str], words: &[&str], limit: Duration) -> Ran {
        let mut command = hactl();
        command.arg("lab").args(verb).args(["--name", &self.name]).args(words);
        Program::start(&mut command).finish(limit)
    }

    fn down(&self) {
        let ran = self.lab(&["down"], &[], DOWN_LIMIT);
        if ran.code != Some(0) {
            eprintln!("the lab could not be taken down\n{ran}");
        }
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        // For whoever looks for the reason of a failure.
        if std::thread::panicking()
            && let Some(keep) = std::env::var_os("HACTL_TEST_KEEP")
        {
            let to = Path::new(&keep).join(format!("{}.remote.log", self.name));
            std::fs::copy(self.path("remote.log"), to).ok();
            self.folder.disable_cleanup(true);
            eprintln!("kept: lab {} with {}", self.name, self.folder.path().display());
            return;
        }
        self.down();
    }
}

/// The built executable, with nothing of the environment that would change what it does.
fn hactl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HACTL_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env_remove("SSH_AUTH_SOCK");
    command
}
