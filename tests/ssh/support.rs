//! A real sshd for each test: own port, own keys, own folder; every connection in a mount namespace when the
//! test wants to change `/etc` or a file system. Everything ends with the test.

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use hactl::names::NodeName;
use hactl::transport::{
    Command, NoPassphrase, Output, SshContext, SshSettings, SshTransport, Transport, TransportError,
};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a program of this machine, which must succeed.
pub(crate) fn tool(argv: &[&str]) -> String {
    let output = Process::new(argv[0]).args(&argv[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that everybody may look into.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hactl-ssh-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    pub(crate) fn join(&self, name: &str) -> Utf8PathBuf {
        self.path().join(name)
    }

    /// Makes a key pair; its private half's path.
    pub(crate) fn key(&self, name: &str, kind: &str, passphrase: &str) -> Utf8PathBuf {
        let path = self.join(name);
        tool(&["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", path.as_str()]);
        path
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Utf8PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

pub(crate) fn public(key: &Utf8Path) -> String {
    std::fs::read_to_string(format!("{key}.pub")).unwrap().trim().to_owned()
}

/// What a test may want otherwise.
#[derive(Default)]
pub(crate) struct Wish {
    /// More lines of sshd_config, before the rest.
    pub(crate) config: String,
    /// Shell lines run in a mount namespace of the connection's own before sshd; `$DIR` is the folder.
    pub(crate) setup: String,
    /// The host key's type; ed25519 when empty.
    pub(crate) host_key_type: &'static str,
}

/// A host with an SSH server.
pub(crate) struct Host {
    pub(crate) folder: Folder,
    pub(crate) port: u16,
    /// The key that may log in.
    pub(crate) identity: Utf8PathBuf,
    pub(crate) host_key: Utf8PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    connections: Mutex<Vec<(TcpStream, Child)>>,
}

impl Host {
    pub(crate) fn start() -> Self {
        Self::with(Wish::default())
    }

    pub(crate) fn with(wish: Wish) -> Self {
        // Where sshd lives while it is not yet sure of the user.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let folder = Folder::new();
        let kind = if wish.host_key_type.is_empty() { "ed25519" } else { wish.host_key_type };
        let host_key = folder.key("host_key", kind, "");
        let identity = folder.key("identity", "ed25519", "");
        folder.write("authorized_keys", &format!("{}\n", public(&identity)));
        let path = folder.path();
        let config = format!(
            "{}\nHostKey {host_key}\nAuthorizedKeysFile {path}/authorized_keys\nUsePAM no\nStrictModes no\n\
             PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             LogLevel VERBOSE\nUseDNS no\nAllowTcpForwarding yes\n",
            wish.config
        );
        let config = folder.write("sshd_config", &config);
        let sshd = format!("exec /usr/sbin/sshd -i -f {config} -E {path}/sshd.log");
        // root's shell reads nobody's start files, whatever this machine's root has in them.
        let shell = "sed 's|^\\(root:.*:\\)[^:]*$|\\1/bin/sh|' /etc/passwd > $DIR/shell.$$; mount --bind $DIR/shell.$$ /etc/passwd";
        let setup = format!("DIR={path}; {{ {shell}\n{}\n}} </dev/null >>{path}/setup.log 2>&1", wish.setup);
        let argv = ["unshare", "--mount", "sh", "-c", &format!("set -e; {setup}; {sshd}")].map(str::to_owned);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let acceptor = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&listener, &argv, &shared)
        });
        Self { folder, port, identity, host_key, shared, acceptor: Some(acceptor) }
    }

    /// The line of known_hosts for this host.
    pub(crate) fn known_line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port, public(&self.host_key))
    }

    /// Settings with which the login works.
    pub(crate) fn settings(&self) -> SshSettings {
        let known = self.folder.write("known_hosts", &format!("{}\n", self.known_line()));
        self.settings_with(known)
    }

    pub(crate) fn settings_with(&self, known_hosts: Utf8PathBuf) -> SshSettings {
        let mut settings = SshSettings::new(NodeName::new("alpha").unwrap(), "127.0.0.1");
        settings.port = Some(self.port);
        settings.identities = vec![self.identity.clone()];
        settings.known_hosts = vec![known_hosts];
        settings.agent = false;
        settings
    }

    pub(crate) fn connect(&self) -> SshTransport {
        transport(&self.settings())
    }

    /// How many connections were ever made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// Cuts every connection, as a lost network would after a reset.
    pub(crate) fn cut(&self) {
        for (stream, _) in self.shared.connections.lock().unwrap().iter() {
            // One that is already closed is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Freezes every server process: the connection stays, nothing answers.
    pub(crate) fn freeze(&self) {
        for (_, child) in self.shared.connections.lock().unwrap().iter() {
            for pid in tree(child.id()) {
                tool(&["kill", "-STOP", &pid.to_string()]);
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        ["sshd.log", "setup.log"]
            .map(|name| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            .concat()
    }
}

fn accept(listener: &TcpListener, argv: &[String], shared: &Shared) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let socket = || Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
        let child = Process::new(&argv[0])
            .args(&argv[1..])
            .stdin(socket())
            .stdout(socket())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        shared.connections.lock().unwrap().push((stream, child));
    }
}

/// A process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let below = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(tree);
    std::iter::once(pid).chain(below).collect()
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for (stream, child) in self.shared.connections.lock().unwrap().iter_mut() {
            let _ = stream.shutdown(Shutdown::Both);
            for pid in tree(child.id()).into_iter().rev() {
                let _ = Process::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
            }
            let _ = child.wait();
        }
    }
}

/// An ssh-agent that holds these keys.
pub(crate) struct Agent {
    process: Child,
    pub(crate) socket: Utf8PathBuf,
    _folder: Folder,
}

impl Agent {
    pub(crate) fn start(keys: &[&Utf8Path]) -> Self {
        let folder = Folder::new();
        let socket = folder.join("agent");
        let process = Process::new("ssh-agent")
            .args(["-D", "-a", socket.as_str()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { process, socket, _folder: folder };
        wait_until("the agent's socket", || agent.socket.exists());
        for key in keys {
            let added = Process::new("ssh-add")
                .arg(key)
                .env("SSH_AUTH_SOCK", &agent.socket)
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(added.success(), "ssh-add {key}");
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the connections of one test share, without anything from the environment.
pub(crate) fn context() -> Arc<SshContext> {
    context_with_agent(None)
}

pub(crate) fn context_with_agent(agent: Option<&Agent>) -> Arc<SshContext> {
    let socket = agent.map(|agent| agent.socket.clone());
    Arc::new(SshContext::with_environment(Arc::new(NoPassphrase), None, socket))
}

pub(crate) fn transport(settings: &SshSettings) -> SshTransport {
    SshTransport::new(settings, context()).unwrap()
}

/// A shell script as a command.
pub(crate) fn script(text: &str) -> Command {
    Command::new(["sh", "-c", text])
}

/// Logs in and runs `true`.
pub(crate) async fn check(settings: &SshSettings) -> Result<Output, TransportError> {
    check_in(settings, context()).await
}

pub(crate) async fn check_in(
    settings: &SshSettings,
    context: Arc<SshContext>,
) -> Result<Output, TransportError> {
    SshTransport::new(settings, context)?.exec(&Command::new(["true"])).await
}
