//! Two nodes of one volume, their disks and their processes.

use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use replicad::control::{Connection, Outcome, Reply, Verb};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replicad");
/// Bytes of a disk: the metadata is a part of it.
pub const DISK_BYTES: u64 = 128 << 20;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
pub const VOLUME: &str = "r0";

pub struct Pair {
    pub alpha: Node,
    pub beta: Node,
    /// Goes last: the logs of a test that failed are in it.
    pub folder: TempDir,
}

pub struct Node {
    pub name: &'static str,
    folder: PathBuf,
    config: PathBuf,
    process: Option<Child>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Pair {
    /// Two fresh disks and running processes, connected. `more` is added to the volume's file.
    pub fn new(more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let ports = [free_port(), free_port()];
        let disk = |name| folder.path().join(name).display().to_string();
        let text = format!(
            "version: 1
nodes:
  alpha: {{ id: 0, address: '127.0.0.1:{}', disk: {} }}
  beta: {{ id: 1, address: '127.0.0.1:{}', disk: {} }}
net: {{ shared-secret: of this test only, ping-int: 1, ping-timeout: 30, timeout: 40, ko-count: 1 }}
{more}",
            ports[0],
            disk("alpha"),
            ports[1],
            disk("beta")
        );
        let config = folder.path().join("r0.yml");
        std::fs::write(&config, text).unwrap();
        let node = |name: &'static str| {
            let disk = std::fs::File::create(folder.path().join(name)).unwrap();
            disk.set_len(DISK_BYTES).unwrap();
            let node = Node { name, folder: folder.path().to_owned(), config: config.clone(), process: None };
            run(&["create-md", "1", node.disk().to_str().unwrap()]);
            node
        };
        let mut pair = Self { alpha: node("alpha"), beta: node("beta"), folder };
        pair.alpha.start();
        pair.beta.start();
        pair
    }

    /// The same, with equal disks, alpha being Primary.
    pub fn in_use(more: &str) -> Self {
        let pair = Self::new(more);
        pair.alpha.wait("connected", |status| connection(status) == "Connected");
        pair.alpha.order(Verb::NewCurrentUuid { clear_bitmap: true });
        pair.alpha.wait("both up to date", in_sync);
        pair.alpha.order(Verb::Primary { force: false });
        pair
    }

    /// Stops both in good order, and compares what is on their disks.
    pub fn assert_equal(&mut self) {
        self.alpha.wait("in sync", in_sync);
        for node in [&mut self.alpha, &mut self.beta] {
            node.down();
        }
        let (a, b) = (self.alpha.data(), self.beta.data());
        assert_eq!(a.len(), b.len());
        let differing: Vec<usize> = a
            .chunks(4096)
            .zip(b.chunks(4096))
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(n, _)| n)
            .collect();
        assert!(differing.is_empty(), "blocks differ: {differing:?}");
    }
}

fn run(arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Node {
    pub fn disk(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.join(format!("run-{}", self.name))
    }

    pub fn control(&self) -> PathBuf {
        self.run_folder().join(VOLUME).join("control")
    }

    pub fn nbd(&self) -> PathBuf {
        self.run_folder().join(VOLUME).join("nbd")
    }

    pub fn uri(&self) -> String {
        format!("nbd+unix:///{VOLUME}?socket={}", self.nbd().display())
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts its process and waits until it answers.
    pub fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let run_folder = self.run_folder();
        let arguments =
            [Path::new("serve"), Path::new(VOLUME), &self.config, Path::new(self.name), &run_folder];
        let process = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.process = Some(process);
        self.eventually("it answers", || Connection::open(&self.control()).ok());
    }

    fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if Instant::now() >= deadline {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                panic!("{}: waited in vain until {what}\n{log}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn try_order(&self, verb: Verb) -> Reply {
        Connection::open(&self.control()).unwrap().call(verb).unwrap()
    }

    pub fn order(&self, verb: Verb) {
        let reply = self.try_order(verb.clone());
        assert_eq!(reply.outcome, Outcome::Done, "{}: {verb:?}: {:?}", self.name, reply.message);
    }

    /// The words with which an order is refused.
    pub fn refused(&self, verb: Verb) -> String {
        let reply = self.try_order(verb.clone());
        assert_eq!(reply.outcome, Outcome::Refused, "{}: {verb:?}", self.name);
        reply.message.unwrap()
    }

    pub fn status(&self) -> Value {
        self.try_order(Verb::Status).status.unwrap()
    }

    pub fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.eventually(what, || Some(self.status()).filter(|status| holds(status)))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.process.as_ref().unwrap().id();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id.cast_signed()).unwrap(), signal)
            .unwrap();
    }

    /// The power fails, as far as a process can tell.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.process.take().unwrap().wait().unwrap();
    }

    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Ends it in good order.
    pub fn down(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    pub fn wait_for_end(&mut self) {
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// What is on its disk before the metadata.
    pub fn data(&self) -> Vec<u8> {
        let layout = drbd_meta::Layout::internal(DISK_BYTES, 1).unwrap();
        let mut data = vec![0; usize::try_from(layout.data_bytes()).unwrap()];
        std::fs::File::open(self.disk()).unwrap().read_exact_at(&mut data, 0).unwrap();
        data
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, std::fs::read_to_string(self.log()).unwrap_or_default());
        }
    }
}

pub fn connection(status: &Value) -> &str {
    status["connections"][0]["connection-state"].as_str().unwrap()
}

pub fn peer_device(status: &Value) -> &Value {
    &status["connections"][0]["peer_devices"][0]
}

pub fn in_sync(status: &Value) -> bool {
    let peer = peer_device(status);
    status["devices"][0]["disk-state"] == "UpToDate"
        && peer["peer-disk-state"] == "UpToDate"
        && peer["replication-state"] == "Established"
        && peer["out-of-sync"] == 0
}
