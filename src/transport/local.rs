//! The same transport on this machine: for tests, and for a node that is the control machine itself.
//!
//! In: commands. Out: what they printed, within the same limits as over a connection. Never opens a socket.

use std::process::Stdio;

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::process::{Context, Event, Events, Input, Process, run};
use super::session::LineSession;
use super::{Command, ExitStatus, FileImage, Output, Session, Sudo, Transport, TransportError, files};
use crate::names::NodeName;

/// Most bytes taken from a pipe at once.
const PIPE_CHUNK_BYTES: usize = 32 * 1024;
/// Pieces of output that may wait to be looked at.
const PIPE_QUEUE_CHUNKS: usize = 16;

/// This machine as a node.
#[derive(Debug, Clone)]
pub struct LocalTransport {
    node: NodeName,
    sudo: Sudo,
}

impl LocalTransport {
    /// This machine under this name; `sudo` says how privileged commands become root unless hactl is root.
    #[must_use]
    pub fn new(node: NodeName, sudo: Sudo) -> Self {
        Self { node, sudo }
    }

    /// How this command becomes root, and the vector to run.
    fn elevate(&self, command: &Command) -> Result<(Option<Sudo>, Vec<String>), TransportError> {
        if !command.privileged || rustix::process::geteuid().is_root() {
            return Ok((None, command.argv.clone()));
        }
        let argv = self.sudo.wrap(&command.argv, "local").ok_or_else(|| TransportError::Privilege {
            node: self.node.clone(),
            reason: "hactl is not running as root here: run it as root or allow sudo for this node"
                .to_owned(),
        })?;
        Ok((Some(self.sudo.clone()), argv))
    }

    fn spawn(&self, argv: &[String], kill_on_drop: bool) -> Result<Process, String> {
        let (program, arguments) = argv.split_first().ok_or("the command is empty")?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(kill_on_drop)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let (sender, pieces) = mpsc::channel(PIPE_QUEUE_CHUNKS);
        let mut readers = tokio::task::JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(pump(stdout, sender.clone(), Event::Stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(pump(stderr, sender, Event::Stderr));
        }
        let stdin = child.stdin.take();
        Ok(Process {
            events: Box::new(LocalEvents { pieces, child, ended: false, problem: None, _readers: readers }),
            input: Box::new(LocalInput { stdin }),
        })
    }

    fn start(&self, argv: &[String], context: &Context<'_>, kill: bool) -> Result<Process, TransportError> {
        self.spawn(argv, kill).map_err(|reason| context.refused(reason))
    }
}

async fn pump<R>(mut pipe: R, sender: mpsc::Sender<Event>, event: fn(Bytes) -> Event)
where
    R: AsyncRead + Unpin,
{
    let mut buffer = vec![0; PIPE_CHUNK_BYTES];
    // A pipe's read fails only when its descriptor is bad; what was read until then is delivered.
    while let Ok(size) = pipe.read(&mut buffer).await {
        if size == 0 || sender.send(event(Bytes::copy_from_slice(&buffer[..size]))).await.is_err() {
            break;
        }
    }
}

struct LocalEvents {
    pieces: mpsc::Receiver<Event>,
    child: tokio::process::Child,
    ended: bool,
    problem: Option<String>,
    /// Stops the readers when the events are dropped.
    _readers: tokio::task::JoinSet<()>,
}

#[async_trait]
impl Events for LocalEvents {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if let Some(event) = self.pieces.recv().await {
            return Some(event);
        }
        self.ended = true;
        match self.child.wait().await {
            Ok(status) => Some(Event::Exit(exit_status(status))),
            Err(error) => {
                self.problem = Some(error.to_string());
                None
            }
        }
    }

    fn lost(&self) -> String {
        self.problem.clone().unwrap_or_else(|| "it ended without an exit status".to_owned())
    }

    fn let_go(&mut self) {}
}

fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code.unsigned_abs()),
        (None, signal) => ExitStatus::Signal(signal_name(signal.unwrap_or_default())),
    }
}

/// A signal's name without `SIG`, as SSH spells it (RFC 4254, 6.10); the number for any other.
fn signal_name(number: i32) -> String {
    use rustix::process::Signal;
    let names = [
        (Signal::ABORT, "ABRT"),
        (Signal::ALARM, "ALRM"),
        (Signal::FPE, "FPE"),
        (Signal::HUP, "HUP"),
        (Signal::ILL, "ILL"),
        (Signal::INT, "INT"),
        (Signal::KILL, "KILL"),
        (Signal::PIPE, "PIPE"),
        (Signal::QUIT, "QUIT"),
        (Signal::SEGV, "SEGV"),
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ];
    let known = names.iter().find(|(signal, _)| signal.as_raw() == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

struct LocalInput {
    stdin: Option<tokio::process::ChildStdin>,
}

#[async_trait]
impl Input for LocalInput {
    async fn write(&mut self, bytes: Bytes) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("its stdin is closed")?;
        stdin.write_all(&bytes).await.map_err(|error| error.to_string())?;
        stdin.flush().await.map_err(|error| error.to_string())
    }

    async fn close(&mut self) {
        self.stdin = None;
    }
}

#[async_trait]
impl Transport for LocalTransport {
    fn node(&self) -> &NodeName {
        &self.node
    }

    async fn exec(&self, command: &Command) -> Result<Output, TransportError> {
        let (sudo, argv) = self.elevate(command)?;
        let context = Context { node: &self.node, command, sudo, started: Instant::now() };
        run(self.start(&argv, &context, true)?, &context).await
    }

    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        files::read(self, path).await
    }

    async fn replace(&self, file: &FileImage) -> Result<(), TransportError> {
        files::replace(self, file).await
    }

    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError> {
        let (sudo, argv) = self.elevate(command)?;
        let context = Context { node: &self.node, command, sudo, started: Instant::now() };
        Ok(Box::new(LineSession::start(self.start(&argv, &context, false)?, &context).await?))
    }
}
