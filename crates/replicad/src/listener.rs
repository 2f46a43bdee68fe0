//! A unix socket that others connect to: made, accepted from, and taken away.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::poll::{Interest, Poller};

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}")]
pub struct ListenError {
    /// Where.
    path: PathBuf,
    /// Why.
    #[source]
    source: std::io::Error,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at this path, in place of a process that is gone. Somebody comes: the poller tells with this token.
    ///
    /// # Errors
    /// When somebody listens there already, or the socket cannot be made.
    pub(crate) fn new(path: &Path, (poller, token): (&mut Poller, u64)) -> Result<Self, ListenError> {
        let failed = |source| ListenError { path: path.to_owned(), source };
        if UnixStream::connect(path).is_ok() {
            return Err(failed(std::io::ErrorKind::AddrInUse.into()));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let socket = UnixListener::bind(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        poller.watch(&socket, token, Interest::READ).map_err(failed)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// The next one who came, if anybody did. Nothing that is done with the stream waits.
    pub(crate) fn accept(&self) -> Option<UnixStream> {
        loop {
            let (stream, _) = self.socket.accept().ok()?;
            if stream.set_nonblocking(true).is_ok() {
                return Some(stream);
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may be gone already; a socket that is left is replaced by the next process.
        let _ = std::fs::remove_file(&self.path);
    }
}
