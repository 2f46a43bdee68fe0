//! The way to one node.

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8Path;

use super::{Command, FileImage, Output, TransportError};
use crate::names::NodeName;

/// How to reach one node. Implementations keep one connection for the whole run.
#[async_trait]
pub trait Transport: Send + Sync {
    /// The node at the other end.
    fn node(&self) -> &NodeName;

    /// Makes the connection now, if there is one to make, so that its errors come early.
    ///
    /// # Errors
    /// The way there failed.
    async fn connect(&self) -> Result<(), TransportError> {
        Ok(())
    }

    /// Runs a command to its end. A non-zero exit is an [`Output`], not an error.
    ///
    /// # Errors
    /// The way there failed, or a limit of the command was hit.
    async fn exec(&self, command: &Command) -> Result<Output, TransportError>;

    /// The whole content of a file, or `None` when there is no such file.
    ///
    /// # Errors
    /// The way there failed, or the file could not be read for any reason but its absence.
    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError>;

    /// Puts a file in place: temporary file beside it, owner, mode, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// The way there failed, or the node refused; the old file is then untouched.
    async fn replace(&self, file: &FileImage) -> Result<(), TransportError>;

    /// Starts a command whose stdin stays open, and returns the stream; for locks and long watches.
    ///
    /// # Errors
    /// As [`Transport::exec`].
    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError>;
}

/// A running command on a node with both ends open. Dropping it closes its stdin.
#[async_trait]
pub trait Session: Send {
    /// The next line of stdout without its end, or `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection was lost or a line was longer than the limit.
    async fn line(&mut self) -> Result<Option<String>, TransportError>;

    /// Writes to the command's stdin.
    ///
    /// # Errors
    /// The connection was lost or the command closed its stdin.
    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError>;

    /// Closes stdin and waits for the end.
    ///
    /// # Errors
    /// The connection was lost, or the command does not end in time.
    async fn finish(self: Box<Self>) -> Result<Output, TransportError>;
}
