//! Two nodes of one volume, their disks and their processes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use replicad::control::{Connection, Outcome, Reply, Verb};
use serde_json::Value;
use tempfile::TempDir;

use crate::media::Media;
use crate::proxy::Proxy;

const PROGRAM: &str = env!("CARGO_BIN_EXE_replicad");
/// Bytes of a disk: the metadata is a part of it.
pub(crate) const DISK_BYTES: u64 = 128 << 20;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const VOLUME: &str = "r0";

/// What a pair is to be.
#[derive(Default, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Added to the section `net` of the volume's file; ends with a comma.
    pub(crate) net: &'a str,
    /// Added to the volume's file; FOLDER stands for the test's own.
    pub(crate) more: &'a str,
    /// Neither authenticated nor encrypted.
    pub(crate) unprotected: bool,
    /// The disks are [`Media`]: they fail, and lose their power.
    pub(crate) media: bool,
    /// The link goes through a [`Proxy`].
    pub(crate) proxied: bool,
}

pub(crate) struct Pair {
    pub(crate) alpha: Node,
    pub(crate) beta: Node,
    proxy: Option<Proxy>,
    /// Goes last: the logs of a test that failed are in it.
    pub(crate) folder: TempDir,
}

pub(crate) struct Node {
    pub(crate) name: &'static str,
    folder: PathBuf,
    process: Option<Child>,
    media: Option<Media>,
    /// Bytes of its disk.
    pub(crate) device_bytes: u64,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Setup<'_> {
    /// Two fresh disks and running processes that connect.
    pub(crate) fn pair(self) -> Pair {
        let folder = TempDir::new().unwrap();
        let node = |name: &'static str| {
            let mut node = Node {
                name,
                folder: folder.path().to_owned(),
                process: None,
                media: None,
                device_bytes: DISK_BYTES,
            };
            File::create(node.disk()).unwrap().set_len(DISK_BYTES).unwrap();
            node.media =
                self.media.then(|| Media::new(&node.disk(), &folder.path().join(format!("{name}.disk"))));
            run(&["create-md", "1", node.device().to_str().unwrap()]);
            node
        };
        let proxy = self.proxied.then(Proxy::new);
        let mut pair = Pair { alpha: node("alpha"), beta: node("beta"), proxy, folder };
        self.write_files(&pair);
        pair.alpha.start();
        pair.beta.start();
        pair
    }

    /// Each node's file. The node with the lower id dials: it is given the proxy's address for the other.
    fn write_files(self, pair: &Pair) {
        let own = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let dialled = pair.proxy.as_ref().map_or(own[1], |proxy| {
            proxy.leads_to(own[1]);
            proxy.address
        });
        for (node, beta) in [(&pair.alpha, dialled), (&pair.beta, own[1])] {
            let protection =
                if self.unprotected { "unprotected: true" } else { "shared-secret: of this test only" };
            let text = format!(
                "version: 1
nodes:
  alpha: {{ id: 0, address: '{}', disk: {} }}
  beta: {{ id: 1, address: '{beta}', disk: {} }}
net: {{ {} {protection}, ping-int: 1, ping-timeout: 30, timeout: 40, ko-count: 1 }}
{}",
                own[0],
                pair.alpha.device().display(),
                pair.beta.device().display(),
                self.net,
                self.more.replace("FOLDER", &pair.folder.path().display().to_string())
            );
            std::fs::write(node.config(), text).unwrap();
        }
    }

    /// The same, with equal disks, alpha being Primary.
    pub(crate) fn in_use(self) -> Pair {
        let pair = self.pair();
        pair.alpha.wait("the handshake is over", established);
        pair.alpha.order(Verb::NewCurrentUuid { clear_bitmap: true });
        pair.alpha.wait("both up to date", in_sync);
        pair.alpha.order(Verb::Primary { force: false });
        pair
    }
}

impl Pair {
    /// Two fresh disks and running processes, connected. `more` is added to the volume's file.
    pub(crate) fn new(more: &str) -> Self {
        Setup { more, ..Setup::default() }.pair()
    }

    /// The same, with equal disks, alpha being Primary.
    pub(crate) fn in_use(more: &str) -> Self {
        Setup { more, ..Setup::default() }.in_use()
    }

    /// The link between the two.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a pair that was asked for with one")
    }

    /// What is on [`Media`] when everything was flushed by a demotion of this node is equal.
    pub(crate) fn settle_on(&mut self, primary: impl Fn(&Self) -> &Node) {
        let primary = primary(self);
        primary.eventually("nobody has it open", || primary.is_demoted());
        self.assert_equal();
    }

    /// Stops both in good order, and compares what is on their disks.
    pub(crate) fn assert_equal(&mut self) {
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
    /// The file that its data ends in.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// What it has for a disk: the same file, or what serves it.
    fn device(&self) -> PathBuf {
        if self.media.is_some() { self.folder.join(format!("{}.disk", self.name)) } else { self.disk() }
    }

    /// Its file of the volume.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(format!("{}.yml", self.name))
    }

    /// The disk that fails when told to.
    pub(crate) fn media(&self) -> &Media {
        self.media.as_ref().expect("a pair that was asked for with such disks")
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.join(format!("run-{}", self.name))
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.run_folder().join(VOLUME).join("control")
    }

    pub(crate) fn nbd(&self) -> PathBuf {
        self.run_folder().join(VOLUME).join("nbd")
    }

    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///{VOLUME}?socket={}", self.nbd().display())
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts its process and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let run_folder = self.run_folder();
        let config = self.config();
        let arguments = [Path::new("serve"), Path::new(VOLUME), &config, Path::new(self.name), &run_folder];
        // What a service manager listens on (sd_notify(3)).
        let manager = self.log().with_extension("manager");
        let _ = std::fs::remove_file(&manager);
        let told = UnixDatagram::bind(&manager).unwrap();
        told.set_nonblocking(true).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("NOTIFY_SOCKET", &manager);
        let mut process = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.eventually("it is ready", || {
            assert_eq!(process.try_wait().unwrap(), None, "{}: the process has ended", self.name);
            let mut word = [0; 64];
            told.recv(&mut word).ok().map(|bytes| assert_eq!(&word[..bytes], b"READY=1\n"))
        });
        assert!(Connection::open(&self.control()).is_ok(), "who is ready takes orders");
        self.process = Some(process);
    }

    pub(crate) fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
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

    pub(crate) fn try_order(&self, verb: Verb) -> Reply {
        Connection::open(&self.control()).unwrap().call(verb).unwrap()
    }

    pub(crate) fn order(&self, verb: Verb) {
        let reply = self.try_order(verb.clone());
        assert_eq!(reply.outcome, Outcome::Done, "{}: {verb:?}: {:?}", self.name, reply.message);
    }

    /// Demotes it; none: a client's end has not arrived yet.
    pub(crate) fn is_demoted(&self) -> Option<()> {
        (self.try_order(Verb::Secondary { force: false }).outcome == Outcome::Done).then_some(())
    }

    /// The words with which an order is refused.
    pub(crate) fn refused(&self, verb: Verb) -> String {
        let reply = self.try_order(verb.clone());
        assert_eq!(reply.outcome, Outcome::Refused, "{}: {verb:?}", self.name);
        reply.message.unwrap()
    }

    /// What it tells from now on.
    pub(crate) fn events(&self) -> Events {
        let mut connection = Connection::open(&self.control()).unwrap();
        connection.send(Verb::Events).unwrap();
        Events { connection }
    }

    pub(crate) fn status(&self) -> Value {
        self.try_order(Verb::Status).status.unwrap()
    }

    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.eventually(what, || Some(self.status()).filter(|status| holds(status)))
    }

    fn id(&self) -> rustix::process::Pid {
        let id = self.process.as_ref().unwrap().id();
        rustix::process::Pid::from_raw(id.cast_signed()).unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.id(), signal).unwrap();
    }

    /// The power fails, as far as a process can tell.
    pub(crate) fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.process.take().unwrap().wait().unwrap();
    }

    pub(crate) fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// The power fails: the process does nothing any more, and what its disk had not flushed is lost, but for the
    /// sectors that `survives` names.
    pub(crate) fn power_off(&mut self, survives: impl Fn(u64) -> bool) {
        self.stop();
        // Told once all of its threads stand still.
        rustix::process::waitpid(Some(self.id()), rustix::process::WaitOptions::UNTRACED).unwrap();
        self.media().power_off(survives);
        self.kill();
    }

    /// And comes back.
    pub(crate) fn power_on(&mut self) {
        self.media().power_on();
        self.start();
    }

    pub(crate) fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Ends it in good order.
    pub(crate) fn down(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    pub(crate) fn wait_for_end(&mut self) {
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// What is on its disk before the metadata.
    pub(crate) fn data(&self) -> Vec<u8> {
        let layout = drbd_meta::Layout::internal(self.device_bytes, 1).unwrap();
        let mut data = vec![0; usize::try_from(layout.data_bytes()).unwrap()];
        File::open(self.disk()).unwrap().read_exact_at(&mut data, 0).unwrap();
        data
    }
}

/// What a node tells, line by line.
pub(crate) struct Events {
    connection: Connection,
}

impl Events {
    /// The next one.
    pub(crate) fn next(&mut self) -> Value {
        serde_json::from_str(&self.connection.line().unwrap().unwrap()).unwrap()
    }

    /// The next one that has this.
    pub(crate) fn next_with(&mut self, key: &str) -> Value {
        loop {
            let event = self.next();
            if !event[key].is_null() {
                return event;
            }
        }
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

pub(crate) fn connection(status: &Value) -> &str {
    status["connections"][0]["connection-state"].as_str().unwrap()
}

pub(crate) fn peer_device(status: &Value) -> &Value {
    &status["connections"][0]["peer_devices"][0]
}

/// Connected, and each knows what the other has.
pub(crate) fn established(status: &Value) -> bool {
    peer_device(status)["replication-state"] == "Established"
}

pub(crate) fn in_sync(status: &Value) -> bool {
    let peer = peer_device(status);
    status["devices"][0]["disk-state"] == "UpToDate"
        && peer["peer-disk-state"] == "UpToDate"
        && peer["replication-state"] == "Established"
        && peer["out-of-sync"] == 0
}
