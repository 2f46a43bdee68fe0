//! A way to this machine, for tests: runs commands as they are, with the transport's limits.

use std::process::Stdio;

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::names::NodeName;
use crate::transport::{Command, ExitStatus, FileImage, Output, Session, Transport, TransportError};

/// This machine, with this text put in front of every script (to stand in for commands that fail).
pub(super) struct Local {
    pub(super) node: NodeName,
    pub(super) preamble: String,
    /// Cuts the time limit, so that a test of a hanging node is quick.
    pub(super) hurry: Option<std::time::Duration>,
}

impl Local {
    pub(super) fn new(name: &str) -> Self {
        Self { node: NodeName::new(name).expect("a node name"), preamble: String::new(), hurry: None }
    }
}

#[async_trait]
impl Transport for Local {
    fn node(&self) -> &NodeName {
        &self.node
    }

    async fn exec(&self, command: &Command) -> Result<Output, TransportError> {
        let started = std::time::Instant::now();
        let limit = self.hurry.map_or(command.timeout, |hurry| hurry.min(command.timeout));
        let mut child = tokio::process::Command::new(&command.argv[0])
            .args(&command.argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("sh is there");
        let group =
            rustix::process::Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("a pid");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(self.preamble.as_bytes()).await.expect("it reads");
        stdin.write_all(&command.stdin).await.expect("it reads");
        drop(stdin);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let bytes = command.output_limit_bytes as u64 + 1;
        let mut out = child.stdout.take().expect("piped").take(bytes);
        let mut err = child.stderr.take().expect("piped").take(bytes);
        let all = async { tokio::try_join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr)) };
        let ended = tokio::time::timeout(limit, all).await;
        let words = || command.argv.join(" ");
        if ended.is_err() || stdout.len() > command.output_limit_bytes {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        if ended.is_err() {
            return Err(TransportError::Timeout { node: self.node.clone(), command: words(), limit });
        }
        if stdout.len() > command.output_limit_bytes {
            let limit_bytes = command.output_limit_bytes;
            return Err(TransportError::TooMuchOutput {
                node: self.node.clone(),
                command: words(),
                limit_bytes,
            });
        }
        let status = child.wait().await.expect("it ends");
        let status = match status.code() {
            Some(code) => ExitStatus::Code(code.cast_unsigned()),
            None => ExitStatus::Signal("KILL".to_owned()),
        };
        Ok(Output { status, stdout: stdout.into(), stderr: stderr.into(), duration: started.elapsed() })
    }

    async fn read(&self, _path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        panic!("discovery reads through its script")
    }

    async fn replace(&self, _file: &FileImage) -> Result<(), TransportError> {
        panic!("discovery writes nothing")
    }

    async fn open(&self, _command: &Command) -> Result<Box<dyn Session>, TransportError> {
        panic!("discovery opens no session")
    }
}
