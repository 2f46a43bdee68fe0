//! The caller's side of the control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::protocol::{PROTOCOL_VERSION, Reply, Request, Verb};

/// Why a call did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("the volume's process does not run (nobody listens on {path}); start it with `up` or `serve`")]
    NotRunning {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It broke off.
    #[error("the volume's process broke off")]
    Broken(#[source] std::io::Error),
    /// It ended without an answer.
    #[error("the volume's process ended without an answer")]
    Ended,
    /// The answer is not one.
    #[error("the volume's process gave an answer that is none: {line}")]
    Answer {
        /// What it said.
        line: String,
        /// Why that is no answer.
        #[source]
        source: serde_json::Error,
    },
}

/// A connection to a volume's process.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| CallError::NotRunning { path: path.to_owned(), source })?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn send(&mut self, verb: Verb) -> Result<(), CallError> {
        let request = Request { version: PROTOCOL_VERSION, verb };
        let mut line = serde_json::to_vec(&request).map_err(|error| CallError::Broken(error.into()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(CallError::Broken)
    }

    /// The next line; none: the process has ended.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn line(&mut self) -> Result<Option<String>, CallError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).map_err(CallError::Broken)? {
            0 => Ok(None),
            _ => Ok(Some(line.trim_end().to_owned())),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn call(&mut self, verb: Verb) -> Result<Reply, CallError> {
        self.send(verb)?;
        let line = self.line()?.ok_or(CallError::Ended)?;
        serde_json::from_str(&line).map_err(|source| CallError::Answer { line, source })
    }
}
