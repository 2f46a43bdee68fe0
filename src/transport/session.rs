//! A running command whose both ends stay open, whatever carries its bytes.
//!
//! In: a [`Process`]. Out: a [`Session`]. What the command prints is taken from the connection at once, so
//! that a session nobody reads from does not hold up the other commands of its connection; what waits to be
//! read is bounded by the command's output limit.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::process::{Context, Event, Events, Feeder, Process, pass, refuse_if_closed};
use super::sudo::Gate;
use super::{Command, ExitStatus, Output, Session, Sudo, TransportError};
use crate::names::NodeName;

/// How the pump's end is told to the reader.
type Ending = Result<(ExitStatus, Bytes), TransportError>;

/// A session over any process.
pub(super) struct LineSession {
    node: NodeName,
    command: Command,
    started: Instant,
    feeder: Feeder,
    chunks: mpsc::UnboundedReceiver<Chunk>,
    pending: BytesMut,
    waiting: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    ending: Option<Ending>,
    pump: tokio::task::JoinHandle<()>,
}

enum Chunk {
    Stdout(Bytes),
    End(Ending),
}

impl LineSession {
    /// Waits until the command runs (past sudo) and returns its session.
    pub(super) async fn start(process: Process, context: &Context<'_>) -> Result<Self, TransportError> {
        match timeout_at(context.deadline(), Self::start_inner(process, context)).await {
            Ok(session) => session,
            Err(_) => Err(context.timeout()),
        }
    }

    async fn start_inner(process: Process, context: &Context<'_>) -> Result<Self, TransportError> {
        let Process { mut events, input } = process;
        let feeder = Feeder::new(input);
        let (mut pending, mut stderr) = (BytesMut::new(), BytesMut::new());
        if let Some(sudo) = &context.sudo {
            stderr
                .extend_from_slice(&open_gate(sudo, events.as_mut(), &feeder, &mut pending, context).await?);
        }
        feeder.send(context.command.stdin.clone());
        let (sender, chunks) = mpsc::unbounded_channel();
        let waiting = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let pump = Pump {
            node: context.node.clone(),
            command: context.command.clone(),
            sender,
            waiting: waiting.clone(),
            stderr,
        };
        Ok(Self {
            node: context.node.clone(),
            command: context.command.clone(),
            started: context.started,
            feeder,
            chunks,
            pending,
            waiting,
            ending: None,
            pump: tokio::spawn(pump.run(events)),
        })
    }

    fn lost(&self, reason: String) -> TransportError {
        TransportError::Lost { node: self.node.clone(), command: self.command.title(), reason }
    }

    /// Takes the next chunk into `pending`; false at the end.
    async fn fill(&mut self) -> bool {
        if self.ending.is_some() {
            return false;
        }
        match self.chunks.recv().await {
            Some(Chunk::Stdout(bytes)) => {
                self.waiting.fetch_sub(bytes.len(), std::sync::atomic::Ordering::Relaxed);
                self.pending.extend_from_slice(&bytes);
                true
            }
            Some(Chunk::End(ending)) => {
                self.ending = Some(ending);
                false
            }
            None => {
                self.ending = Some(Err(self.lost("its reader stopped".to_owned())));
                false
            }
        }
    }

    async fn drain(&mut self) -> Result<(), TransportError> {
        while self.fill().await {
            if self.pending.len() > self.command.output_limit_bytes {
                return Err(too_much(&self.node, &self.command));
            }
        }
        Ok(())
    }
}

fn too_much(node: &NodeName, command: &Command) -> TransportError {
    TransportError::TooMuchOutput {
        node: node.clone(),
        command: command.title(),
        limit_bytes: command.output_limit_bytes,
    }
}

/// Follows stderr until sudo has started the command; what is already the command's own comes back, and
/// `stdout`, which may arrive before the stderr that was written earlier, is kept.
async fn open_gate(
    sudo: &Sudo,
    events: &mut dyn Events,
    feeder: &Feeder,
    stdout: &mut BytesMut,
    context: &Context<'_>,
) -> Result<Bytes, TransportError> {
    let mut gate = Gate::new(sudo.clone());
    let mut status = None;
    while let Some(event) = events.next().await {
        if stdout.len() > context.command.output_limit_bytes {
            return Err(context.too_much());
        }
        match event {
            Event::Stderr(bytes) => {
                if let Some(own) = pass(&mut gate, &bytes, Some(feeder), context)? {
                    return Ok(own);
                }
            }
            Event::Exit(exit) => status = Some(exit),
            Event::Refused(reason) => return Err(context.refused(reason)),
            Event::Stdout(bytes) => stdout.extend_from_slice(&bytes),
        }
    }
    let status = status.ok_or_else(|| context.lost(events.lost()))?;
    refuse_if_closed(Some(&gate), &status, context)?;
    Err(context.lost("it ended before it began".to_owned()))
}

/// Takes what the command prints, as it comes.
struct Pump {
    node: NodeName,
    command: Command,
    sender: mpsc::UnboundedSender<Chunk>,
    waiting: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    stderr: BytesMut,
}

impl Pump {
    async fn run(mut self, events: Box<dyn Events>) {
        let ending = self.follow(events).await;
        // The session may have been dropped: then nobody wants to know.
        let _ = self.sender.send(Chunk::End(ending));
    }

    async fn follow(&mut self, mut events: Box<dyn Events>) -> Ending {
        let limit_bytes = self.command.output_limit_bytes;
        let mut status = None;
        while let Some(event) = events.next().await {
            match event {
                Event::Stdout(bytes) => {
                    let size = bytes.len();
                    let waiting = self.waiting.fetch_add(size, std::sync::atomic::Ordering::Relaxed) + size;
                    if waiting > limit_bytes {
                        return Err(too_much(&self.node, &self.command));
                    }
                    let _ = self.sender.send(Chunk::Stdout(bytes));
                }
                Event::Stderr(bytes) => {
                    self.stderr.extend_from_slice(&bytes);
                    if self.stderr.len() > limit_bytes {
                        return Err(too_much(&self.node, &self.command));
                    }
                }
                Event::Exit(exit) => status = Some(exit),
                Event::Refused(reason) => {
                    return Err(TransportError::Failed {
                        node: self.node.clone(),
                        attempted: format!("start `{}`", self.command.title()),
                        reason,
                    });
                }
            }
        }
        let status = status.ok_or_else(|| TransportError::Lost {
            node: self.node.clone(),
            command: self.command.title(),
            reason: events.lost(),
        })?;
        Ok((status, std::mem::take(&mut self.stderr).freeze()))
    }
}

#[async_trait]
impl Session for LineSession {
    async fn line(&mut self) -> Result<Option<String>, TransportError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.pending.split_to(searched + at + 1);
                return Ok(Some(String::from_utf8_lossy(&line[..searched + at]).into_owned()));
            }
            searched = self.pending.len();
            if searched > self.command.output_limit_bytes {
                return Err(too_much(&self.node, &self.command));
            }
            if !self.fill().await {
                break;
            }
        }
        if let Some(Err(error)) = &self.ending {
            return Err(error.clone());
        }
        if self.pending.is_empty() {
            return Ok(None);
        }
        let rest = self.pending.split();
        Ok(Some(String::from_utf8_lossy(&rest).into_owned()))
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.feeder.write(bytes).await.map_err(|reason| self.lost(reason))
    }

    async fn finish(mut self: Box<Self>) -> Result<Output, TransportError> {
        self.feeder.close();
        let limit = self.command.timeout;
        if timeout(limit, self.drain()).await.map(|drained| drained.is_err()).unwrap_or(true) {
            let over = self.pending.len() > self.command.output_limit_bytes;
            return Err(if over {
                too_much(&self.node, &self.command)
            } else {
                TransportError::Timeout { node: self.node.clone(), command: self.command.title(), limit }
            });
        }
        let (status, stderr) =
            self.ending.take().unwrap_or_else(|| Err(self.lost("it has no end".to_owned())))?;
        let stdout = self.pending.split().freeze();
        Ok(Output { status, stdout, stderr, duration: self.started.elapsed() })
    }
}

impl Drop for LineSession {
    fn drop(&mut self) {
        // Stops reading; dropping the events closes the command's both ends.
        self.pump.abort();
    }
}
