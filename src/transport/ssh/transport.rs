//! The transport over SSH: one connection to a node for the whole run, made when it is first needed.
//!
//! In: settings, and what the run's connections share. Out: [`Transport`]. A connection that was lost is made
//! anew for the next command; a command that was running on it is never repeated.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::channel::start;
use super::connection::{Connection, NoChannel, OpenChannel};
use super::context::SshContext;
use super::route::{DEFAULT_USER, Endpoint, Route, resolve};
use super::settings::SshSettings;
use super::slot::Slot;
use super::terminate::Termination;
use crate::names::NodeName;
use crate::transport::process::{Context, Process, run};
use crate::transport::session::LineSession;
use crate::transport::{Command, FileImage, Output, Session, Sudo, Transport, TransportError, files, quote};

/// Longest line that can be run: Linux gives one argument 32 pages (execve(2), MAX_ARG_STRLEN), and the line
/// is one argument of the login shell.
const MAX_LINE_BYTES: usize = 128 * 1024 - 1;

/// The way to one node over SSH.
pub struct SshTransport {
    node: NodeName,
    sudo: Sudo,
    route: Route,
    context: Arc<SshContext>,
    connection: Slot,
}

impl SshTransport {
    /// Works out the way to the node; connects to nothing yet.
    ///
    /// # Errors
    /// The settings, or the `ssh_config` they name, cannot be used.
    pub fn new(settings: &SshSettings, context: Arc<SshContext>) -> Result<Self, TransportError> {
        let route = resolve(settings, &context)
            .map_err(|reason| TransportError::Configuration { node: settings.node.clone(), reason })?;
        Ok(Self {
            node: settings.node.clone(),
            sudo: settings.sudo.clone(),
            route,
            context,
            connection: Slot::default(),
        })
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<Arc<Connection>, TransportError> {
        self.connection.get(&self.node, self.open_connection()).await
    }

    async fn open_connection(&self) -> Result<Connection, TransportError> {
        let mut through = None;
        let mut way = String::new();
        for hop in &self.route.hops {
            way.push_str(&way_step(hop));
            let slot = self.context.hop(way.clone());
            let open = Connection::open(&self.node, hop, through, &self.context);
            through = Some(slot.get(&self.node, open).await?);
        }
        Connection::open(&self.node, &self.route.target, through, &self.context).await
    }

    /// A channel; of a new connection if the one there has ended unnoticed, as nothing was sent on it yet.
    async fn channel(&self, command: &Command) -> Result<OpenChannel, TransportError> {
        let mut again = true;
        loop {
            let connection = self.connection().await?;
            match connection.channel().await {
                Ok(channel) => return Ok(channel),
                Err(NoChannel::Ended(_)) if again && connection.is_closed() => again = false,
                Err(NoChannel::Ended(reason) | NoChannel::Refused(reason)) => {
                    return Err(TransportError::Failed {
                        node: self.node.clone(),
                        attempted: format!("start `{}`", command.title()),
                        reason,
                    });
                }
            }
        }
    }

    /// How this command becomes root, and the line that runs it.
    ///
    /// What comes before every command: a locale in which programs can read its output, and a tag by which
    /// it is found again, should it have to be ended.
    fn line(&self, command: &Command, tag: &str) -> Result<(Option<Sudo>, String), TransportError> {
        let elevate = command.privileged && self.route.target.user != DEFAULT_USER;
        let wrapped = if elevate {
            let privilege = || TransportError::Privilege {
                node: self.node.clone(),
                reason: format!(
                    "the login is {} and the inventory does not allow sudo: log in as root, or write `sudo: true` below `ssh`",
                    self.route.target.user
                ),
            };
            self.sudo.wrap(&command.argv, tag).ok_or_else(privilege)?
        } else {
            command.argv.clone()
        };
        let failed = |reason: String| TransportError::Failed {
            node: self.node.clone(),
            attempted: format!("run `{}`", command.title()),
            reason,
        };
        let quoted = quote(&wrapped).map_err(|error| failed(error.to_string()))?;
        let line = format!("export LC_ALL=C.UTF-8 HACTL_COMMAND={tag}; exec {quoted}");
        if line.len() > MAX_LINE_BYTES {
            return Err(failed(format!(
                "the command is longer than {MAX_LINE_BYTES} bytes: pass the data on stdin"
            )));
        }
        Ok((elevate.then(|| self.sudo.clone()), line))
    }

    /// Starts a command on a channel of its own; the command's time begins once it has the channel.
    async fn start(&self, command: &Command, terminate: bool) -> Result<Started<'_>, TransportError> {
        let tag = self.context.tag();
        let (sudo, line) = self.line(command, &tag)?;
        let channel = self.channel(command).await?;
        let lost =
            |reason| TransportError::Lost { node: self.node.clone(), command: command.title(), reason };
        let started = Instant::now();
        let termination = Termination { node: self.node.clone(), tag, sudo: sudo.clone() };
        let (process, settling) =
            start(channel, line, terminate.then_some(termination)).await.map_err(lost)?;
        Ok(Started { node: &self.node, process, sudo, started, settling })
    }
}

/// A command on its way.
struct Started<'a> {
    node: &'a NodeName,
    process: Process,
    sudo: Option<Sudo>,
    started: Instant,
    /// Ends when the command was given up and that has been dealt with.
    settling: oneshot::Receiver<()>,
}

/// What tells one jump host's connection from another's.
fn way_step(hop: &Endpoint) -> String {
    format!("{}@{} {:?} {:?} {};", hop.user, hop.address(), hop.identities, hop.known_hosts, hop.accept_new)
}

#[async_trait]
impl Transport for SshTransport {
    fn node(&self) -> &NodeName {
        &self.node
    }

    async fn connect(&self) -> Result<(), TransportError> {
        self.connection().await.map(|_| ())
    }

    async fn exec(&self, command: &Command) -> Result<Output, TransportError> {
        let Started { node, process, sudo, started, settling } = self.start(command, true).await?;
        let result = run(process, &Context { node, command, sudo, started }).await;
        if result.is_err() {
            // It was given up: it is ended, within a limit, before that is told. An error means: done.
            let _ = settling.await;
        }
        result
    }

    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        files::read(self, path).await
    }

    async fn replace(&self, file: &FileImage) -> Result<(), TransportError> {
        files::replace(self, file).await
    }

    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError> {
        let Started { node, process, sudo, started, .. } = self.start(command, false).await?;
        let context = Context { node, command, sudo, started };
        Ok(Box::new(LineSession::start(process, &context).await?))
    }
}
