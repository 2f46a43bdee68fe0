//! The transport over SSH: one connection to a node for the whole run, made when it is first needed.
//!
//! In: settings, and what the run's connections share. Out: [`Transport`]. A connection that was lost is made
//! anew for the next command; a command that was running on it is never repeated.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::channel::{Abandon, start};
use super::connection::Connection;
use super::context::SshContext;
use super::route::{DEFAULT_USER, Endpoint, Route, resolve};
use super::settings::SshSettings;
use crate::names::NodeName;
use crate::transport::process::{Context, Process, run};
use crate::transport::session::LineSession;
use crate::transport::{Command, FileImage, Output, Session, Sudo, Transport, TransportError, files, quote};

/// Longest line that can be run: Linux gives one argument 32 pages (execve(2), MAX_ARG_STRLEN), and the line
/// is one argument of the login shell.
const MAX_LINE_BYTES: usize = 128 * 1024 - 1;
/// What comes before every command: a locale in which output can be read by programs.
const PROLOGUE: &str = "export LC_ALL=C.UTF-8; exec ";

/// The way to one node over SSH.
pub struct SshTransport {
    node: NodeName,
    sudo: Sudo,
    route: Route,
    context: Arc<SshContext>,
    connection: Mutex<Option<Arc<Connection>>>,
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
            connection: Mutex::new(None),
        })
    }

    /// The connection, made if there is none.
    async fn connection(&self) -> Result<Arc<Connection>, TransportError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let mut through = None;
        let mut way = String::new();
        for hop in &self.route.hops {
            way.push_str(&way_step(hop));
            through = Some(self.hop(&way, hop, through).await?);
        }
        let connection =
            Arc::new(Connection::open(&self.node, &self.route.target, through, &self.context).await?);
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// The connection to a jump host, shared by all nodes behind it.
    async fn hop(
        &self,
        way: &str,
        hop: &Endpoint,
        through: Option<Arc<Connection>>,
    ) -> Result<Arc<Connection>, TransportError> {
        let slot = self.context.hop(way.to_owned());
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Arc::new(Connection::open(&self.node, hop, through, &self.context).await?);
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// How this command becomes root, and the line that runs it.
    fn line(&self, command: &Command) -> Result<(Option<Sudo>, String), TransportError> {
        let elevate = command.privileged && self.route.target.user != DEFAULT_USER;
        let wrapped = if elevate {
            let privilege = || TransportError::Privilege {
                node: self.node.clone(),
                reason: format!(
                    "the login is {} and sudo is not allowed: log in as root or allow sudo in the inventory",
                    self.route.target.user
                ),
            };
            self.sudo.wrap(&command.argv).ok_or_else(privilege)?
        } else {
            command.argv.clone()
        };
        let failed = |reason: String| TransportError::Failed {
            node: self.node.clone(),
            attempted: format!("run `{}`", command.title()),
            reason,
        };
        let line = format!("{PROLOGUE}{}", quote(&wrapped).map_err(|error| failed(error.to_string()))?);
        if line.len() > MAX_LINE_BYTES {
            return Err(failed(format!(
                "the command is longer than {MAX_LINE_BYTES} bytes: pass the data on stdin"
            )));
        }
        Ok((elevate.then(|| self.sudo.clone()), line))
    }

    /// Starts a command on a channel of its own; the command's time begins once it has the channel.
    async fn start(
        &self,
        command: &Command,
        line: String,
        abandon: Abandon,
    ) -> Result<(Process, Instant), TransportError> {
        let connection = self.connection().await?;
        let lost =
            |reason| TransportError::Lost { node: self.node.clone(), command: command.title(), reason };
        let channel = connection.channel().await.map_err(lost)?;
        let started = Instant::now();
        let process = start(channel, line, abandon).await.map_err(lost)?;
        Ok((process, started))
    }
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
        let (sudo, line) = self.line(command)?;
        let (process, started) = self.start(command, line, Abandon::Terminate).await?;
        run(process, &Context { node: &self.node, command, sudo, started }).await
    }

    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        files::read(self, path).await
    }

    async fn replace(&self, file: &FileImage) -> Result<(), TransportError> {
        files::replace(self, file).await
    }

    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError> {
        let (sudo, line) = self.line(command)?;
        let (process, started) = self.start(command, line, Abandon::CloseStdin).await?;
        let context = Context { node: &self.node, command, sudo, started };
        Ok(Box::new(LineSession::start(process, &context).await?))
    }
}
