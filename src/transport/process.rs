//! Following one running command to its end, whatever carries its bytes.
//!
//! In: a [`Process`] (a channel of a connection, or a local child). Out: its output within the command's
//! limits, or the reason why there is none. Never starts anything and knows no protocol.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::sudo::{Gate, Passage};
use super::{Command, ExitStatus, Output, Sudo, TransportError};
use crate::names::NodeName;

/// Something that a running command did.
#[derive(Debug)]
pub(super) enum Event {
    /// It wrote this to stdout.
    Stdout(Bytes),
    /// It wrote this to stderr.
    Stderr(Bytes),
    /// It ended.
    Exit(ExitStatus),
    /// It could not be started, for this reason.
    Refused(String),
}

/// What comes out of a running command. Dropping it before the end stops the command as well as possible.
#[async_trait]
pub(super) trait Events: Send {
    /// The next event, or `None` when everything has been delivered.
    async fn next(&mut self) -> Option<Event>;

    /// Why there was an end without an exit status.
    fn lost(&self) -> String;

    /// The command never started: closing its stdin is enough to be rid of it.
    fn let_go(&mut self);
}

/// What goes into a running command.
#[async_trait]
pub(super) trait Input: Send {
    /// Writes everything; an error says why the command takes no more.
    async fn write(&mut self, bytes: Bytes) -> Result<(), String>;

    /// Ends the command's stdin.
    async fn close(&mut self);
}

/// A running command with both of its ends.
pub(super) struct Process {
    pub(super) events: Box<dyn Events>,
    pub(super) input: Box<dyn Input>,
}

/// What a command needs to be reported on.
pub(super) struct Context<'a> {
    pub(super) node: &'a NodeName,
    pub(super) command: &'a Command,
    /// How this command becomes root, or `None` when it does not have to.
    pub(super) sudo: Option<Sudo>,
    pub(super) started: Instant,
}

impl Context<'_> {
    pub(super) fn timeout(&self) -> TransportError {
        TransportError::Timeout {
            node: self.node.clone(),
            command: self.command.title(),
            limit: self.command.timeout,
        }
    }

    pub(super) fn lost(&self, reason: String) -> TransportError {
        TransportError::Lost { node: self.node.clone(), command: self.command.title(), reason }
    }

    pub(super) fn too_much(&self) -> TransportError {
        TransportError::TooMuchOutput {
            node: self.node.clone(),
            command: self.command.title(),
            limit_bytes: self.command.output_limit_bytes,
        }
    }

    pub(super) fn privilege(&self, reason: String) -> TransportError {
        TransportError::Privilege { node: self.node.clone(), reason }
    }

    pub(super) fn refused(&self, reason: String) -> TransportError {
        TransportError::Failed {
            node: self.node.clone(),
            attempted: format!("start `{}`", self.command.title()),
            reason,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.started + self.command.timeout
    }
}

enum Feed {
    Bytes(Bytes, Option<oneshot::Sender<Result<(), String>>>),
    Close,
}

/// Writes to a command's stdin in the background, so that its output is read meanwhile: a command that
/// waits for its output to be taken would otherwise never take its input.
pub(super) struct Feeder {
    queue: mpsc::UnboundedSender<Feed>,
    task: tokio::task::JoinHandle<()>,
}

impl Feeder {
    pub(super) fn new(mut input: Box<dyn Input>) -> Self {
        let (queue, mut feeds) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(feed) = feeds.recv().await {
                match feed {
                    Feed::Bytes(bytes, done) => {
                        let result = input.write(bytes).await;
                        if let Some(done) = done {
                            // The one who asked may have gone; there is nobody else to tell.
                            let _ = done.send(result);
                        }
                    }
                    Feed::Close => break,
                }
            }
            input.close().await;
        });
        Self { queue, task }
    }

    /// Queues bytes. A command that stops reading is no error: its exit status tells.
    pub(super) fn send(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            let _ = self.queue.send(Feed::Bytes(bytes, None));
        }
    }

    /// Queues bytes and waits until they were taken.
    pub(super) async fn write(&self, bytes: Bytes) -> Result<(), String> {
        let closed = || "its stdin is closed".to_owned();
        let (done, result) = oneshot::channel();
        self.queue.send(Feed::Bytes(bytes, Some(done))).map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Ends stdin once everything queued was written.
    pub(super) fn close(&self) {
        let _ = self.queue.send(Feed::Close);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        // It may wait for room that a command which has ended will never make.
        self.task.abort();
    }
}

/// Runs a command to its end.
pub(super) async fn run(process: Process, context: &Context<'_>) -> Result<Output, TransportError> {
    match timeout_at(context.deadline(), follow(process, context)).await {
        Ok(result) => result,
        Err(_) => Err(context.timeout()),
    }
}

async fn follow(process: Process, context: &Context<'_>) -> Result<Output, TransportError> {
    let Process { mut events, mut input } = process;
    let stdin = context.command.stdin.clone();
    let mut gate = context.sudo.clone().map(Gate::new);
    let asks = matches!(context.sudo, Some(Sudo::Password(_)));
    let feeder = if stdin.is_empty() && !asks {
        input.close().await;
        None
    } else {
        let feeder = Feeder::new(input);
        if !asks {
            feeder.send(stdin.clone());
            feeder.close();
        }
        Some(feeder)
    };
    let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
    let mut status = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Event::Exit(exit) => status = Some(exit),
            Event::Refused(reason) => return Err(context.refused(reason)),
            Event::Stderr(bytes) => match gate.as_mut() {
                None => stderr.extend_from_slice(&bytes),
                Some(guard) => {
                    let passage = pass(guard, &bytes, feeder.as_ref(), context);
                    if let Some(own) = passage.inspect_err(|_| events.let_go())? {
                        gate = None;
                        stderr.extend_from_slice(&own);
                        if asks && let Some(feeder) = &feeder {
                            feeder.send(stdin.clone());
                            feeder.close();
                        }
                    }
                }
            },
        }
        if stdout.len().max(stderr.len()) > context.command.output_limit_bytes {
            return Err(context.too_much());
        }
    }
    let status = status.ok_or_else(|| context.lost(events.lost()))?;
    refuse_if_closed(gate.as_ref(), &status, context)?;
    Ok(Output {
        status,
        stdout: stdout.freeze(),
        stderr: stderr.freeze(),
        duration: context.started.elapsed(),
    })
}

/// Shows the gate a piece of stderr; what is the command's own comes back once it has started.
pub(super) fn pass(
    gate: &mut Gate,
    piece: &[u8],
    feeder: Option<&Feeder>,
    context: &Context<'_>,
) -> Result<Option<Bytes>, TransportError> {
    match gate.stderr(piece) {
        Passage::Wait => Ok(None),
        Passage::Open(own) => Ok(Some(own)),
        Passage::Refused(reason) => Err(context.privilege(reason)),
        Passage::Answer(line) => {
            if let Some(feeder) = feeder {
                feeder.send(line);
            }
            Ok(None)
        }
    }
}

/// A command that ended behind a closed gate was never started: sudo refused.
pub(super) fn refuse_if_closed(
    gate: Option<&Gate>,
    status: &ExitStatus,
    context: &Context<'_>,
) -> Result<(), TransportError> {
    let Some(gate) = gate else { return Ok(()) };
    let code = if let ExitStatus::Code(code) = status { Some(*code) } else { None };
    Err(context.privilege(gate.refusal(code)))
}
