//! The fence device: a daemon on the host that cuts and restores the nodes' power when a node asks for it.
//!
//! It listens in the switch's namespace, so that no packet filter of the host is in the way, and lives in a control group
//! of its own, so that it is found and ended whatever became of the run that started it. Started by `up`, ended by `down`.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngCore;

use super::cgroup::Hierarchies;
use super::error::LabError;
use super::fence_wire::{
    Action, MAX_LINE_BYTES, NONCE_BYTES, Request, greeting, hex, parse_request, refuse, reply,
};
use super::launch::launch;
use super::power::{self, Power};
use super::process::{ProcessId, wait_for};
use super::record::{LabNode, LabPaths, LabRecord};

/// Where it listens. Its address is its own, so the number is free.
pub(crate) const PORT: u16 = 7850;
/// Longest wait for a line of a node, or for it to take one.
const LINE_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether a node was shut down.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Most nodes served at once.
const MAX_CONNECTIONS: usize = 64;
/// Longest start of the daemon.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Makes the secret that device and nodes share.
pub(crate) fn make_secret(file: &Path) -> Result<(), LabError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file_handle = open.open(file).map_err(LabError::io("create", file))?;
    file_handle.write_all(hex(&bytes).as_bytes()).map_err(LabError::io("write", file))
}

/// Starts the daemon, if it does not run, and waits until it answers.
pub(crate) fn start(lab: &LabRecord, paths: &LabPaths) -> Result<(), LabError> {
    if is_running(paths) {
        return Ok(());
    }
    let group = Hierarchies::find()?.group(&lab.name.daemon());
    let mut argv = vec![lab.hactl.clone().into_os_string()];
    argv.extend(["lab", "fenced", "--state-dir"].map(OsString::from));
    argv.push(paths.root().into());
    launch("start the fence device", &paths.daemon_log(), &group, &lab.name.switch(), argv)?;
    let address = SocketAddr::V4(SocketAddrV4::new(lab.fence.ip, lab.fence.port));
    let log = paths.daemon_log();
    let what = || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        format!("start the fence device at {address}; {}:\n{said}", log.display())
    };
    wait_for(what, START_LIMIT, || {
        Ok(TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok().map(drop))
    })
}

/// Whether the daemon runs.
pub(crate) fn is_running(paths: &LabPaths) -> bool {
    ProcessId::read(&paths.daemon_pid()).is_some_and(ProcessId::is_alive)
}

/// Ends the daemon with whatever it is doing.
pub(crate) fn stop(lab: &super::names::LabName) -> Result<(), LabError> {
    Hierarchies::find()?.group(&lab.daemon()).end()
}

/// Is the daemon: serves until it is killed.
///
/// # Errors
/// There is no lab in this directory, or its address cannot be listened on.
pub fn serve(state_dir: &Path) -> Result<(), LabError> {
    let paths = LabPaths::new(state_dir);
    let lab = paths.load()?.ok_or_else(|| LabError::Fence(format!("no lab in {}", state_dir.display())))?;
    let secret = fs::read(&lab.fence.secret).map_err(LabError::io("read", &lab.fence.secret))?;
    let address = SocketAddrV4::new(lab.fence.ip, lab.fence.port);
    let listener = TcpListener::bind(address)
        .map_err(|error| LabError::Fence(format!("cannot listen on {address}: {error}")))?;
    let own = i32::try_from(std::process::id()).ok().and_then(ProcessId::of);
    own.ok_or_else(|| LabError::Fence("/proc does not show this process".to_owned()))?
        .write(&paths.daemon_pid())?;
    log(&format!("listening on {address} for lab {}", lab.name));
    let device = Arc::new(Device { lab, paths, secret });
    let watcher = Arc::clone(&device);
    thread::spawn(move || watcher.watch());
    for node in &device.lab.nodes {
        // The daemon before this one was killed while it waited.
        if let Some(word) = power::pending_start(node, &device.paths) {
            device.boot_later(node, word, Duration::ZERO);
        }
    }
    let served = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if served.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            log(&format!("more than {MAX_CONNECTIONS} connections: one was refused"));
            continue;
        }
        served.fetch_add(1, Ordering::SeqCst);
        let (device, served) = (Arc::clone(&device), Arc::clone(&served));
        thread::spawn(move || {
            if let Err(error) = device.talk(&stream) {
                log(&format!("a connection ended early: {error}"));
            }
            served.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(())
}

fn log(text: &str) {
    // Standard error is the log file.
    eprintln!("{} {text}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
}

struct Device {
    lab: LabRecord,
    paths: LabPaths,
    secret: Vec<u8>,
}

impl Device {
    fn talk(self: &Arc<Self>, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(LINE_LIMIT))?;
        stream.set_write_timeout(Some(LINE_LIMIT))?;
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let nonce = hex(&nonce);
        stream.write_all(greeting(&nonce).as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_LINE_BYTES as u64)).read_line(&mut line)?;
        if line.is_empty() {
            // Somebody only looked whether the device is there.
            return Ok(());
        }
        let answer = match parse_request(&line, &nonce, &self.secret) {
            Ok(request) => {
                let began = Instant::now();
                let outcome = self.act(&request).map_err(|error| error.to_string());
                let took = began.elapsed().as_millis();
                log(&format!("{:?} {}: {outcome:?} after {took} ms", request.action, request.plug));
                reply(&request, &outcome, &self.secret)
            }
            Err(reason) => {
                log(&format!("refused: {reason}"));
                refuse(reason)
            }
        };
        stream.write_all(answer.as_bytes())
    }

    /// Unplugs nodes that were shut down from inside: the kernel would go on answering for their addresses.
    fn watch(&self) {
        let mut failed = None;
        loop {
            thread::sleep(WATCH_INTERVAL);
            let outcome = self
                .lab
                .nodes
                .iter()
                .try_for_each(|node| power::unplug_if_down(&self.lab, node, &self.paths));
            let error = outcome.err().map(|error| error.to_string());
            if error != failed
                && let Some(error) = &error
            {
                log(&format!("cannot unplug: {error}"));
            }
            failed = error;
        }
    }

    /// Starts a node when its firmware is done.
    fn boot_later(self: &Arc<Self>, node: &LabNode, word: String, delay: Duration) {
        let (device, node) = (Arc::clone(self), node.clone());
        thread::spawn(move || {
            thread::sleep(delay);
            match power::finish_reboot(&device.lab, &node, &device.paths, &word) {
                Ok(()) => log(&format!("{} boots", node.name)),
                Err(error) => log(&format!("{} did not start again: {error}", node.name)),
            }
        });
    }

    fn act(self: &Arc<Self>, request: &Request) -> Result<String, LabError> {
        let state = |node| power::state(&self.lab, node, &self.paths).map(Power::outlet);
        if request.action == Action::List {
            let states: Result<Vec<String>, LabError> =
                self.lab.nodes.iter().map(|node| Ok(format!("{}={}", node.name, state(node)?))).collect();
            return Ok(states?.join(" "));
        }
        let node = self.lab.node(&request.plug)?;
        match request.action {
            Action::On => power::on(&self.lab, node, &self.paths)?,
            Action::Off => power::off(&self.lab, node, &self.paths)?,
            Action::Reboot => {
                let boot_delay = Duration::from_millis(self.lab.boot_delay_ms);
                if let Some(word) = power::reboot(&self.lab, node, &self.paths, boot_delay)? {
                    self.boot_later(node, word, boot_delay);
                }
            }
            Action::Status | Action::List => {}
        }
        Ok(state(node)?.to_owned())
    }
}
