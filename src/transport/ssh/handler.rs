//! What the SSH library asks and tells while a connection lives.
//!
//! In: the host's key, the end of the connection. Out: whether the key is trusted; why it ended.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use camino::Utf8PathBuf;
use russh::client::{DisconnectReason, Handler};
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::context::SshContext;
use super::known_hosts::{self, HostName, KnownHosts, Unacceptable};

/// Why a connection could not be made, as far as the library and the handler know.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The protocol failed.
    #[error(transparent)]
    Protocol(#[from] russh::Error),
    /// The host's key is not trusted.
    #[error("{0}")]
    HostKey(String),
    /// known_hosts cannot be read or written.
    #[error("{0}")]
    Files(String),
}

/// Why a connection ended; the first reason counts.
pub(super) type End = Arc<OnceLock<String>>;

/// Judges one host's key and notes the end of its connection.
pub(super) struct Client {
    pub(super) context: Arc<SshContext>,
    pub(super) name: HostName,
    pub(super) files: Vec<Utf8PathBuf>,
    pub(super) known: Arc<KnownHosts>,
    pub(super) accept_new: bool,
    pub(super) end: End,
}

impl Client {
    /// Records a host that nothing was known about, unless that has changed meanwhile.
    async fn accept(&self, key: &PublicKey) -> Result<(), HandshakeError> {
        let Some(first) = self.files.first().cloned() else {
            return Err(HandshakeError::Files("no known_hosts file to record the host's key in".to_owned()));
        };
        let _alone = self.context.recording.lock().await;
        let (name, files, key) = (self.name.clone(), self.files.clone(), key.clone());
        let record = move || {
            let known = KnownHosts::load(&files).map_err(HandshakeError::Files)?;
            match known.check_key(&name, &key) {
                Ok(()) => Ok(()),
                Err(Unacceptable::Refused(reason)) => Err(HandshakeError::HostKey(reason)),
                Err(Unacceptable::Unknown(_)) => {
                    known_hosts::record(&first, &name, &key).map_err(HandshakeError::Files)
                }
            }
        };
        let recorded = tokio::task::spawn_blocking(record).await;
        self.context.forget_known_hosts();
        recorded
            .map_err(|error| HandshakeError::Files(format!("recording the host's key failed: {error}")))?
    }
}

impl Handler for Client {
    type Error = HandshakeError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HandshakeError> {
        let verdict = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.known.check_key(&self.name, key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                self.known.check_certificate(&self.name, certificate, SystemTime::now())
            }
        };
        match verdict {
            Ok(()) => Ok(true),
            Err(Unacceptable::Unknown(_)) if self.accept_new => {
                self.accept(&shown.public_key()).await.map(|()| true)
            }
            Err(Unacceptable::Unknown(reason) | Unacceptable::Refused(reason)) => {
                Err(HandshakeError::HostKey(reason))
            }
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandshakeError>) -> Result<(), HandshakeError> {
        let text = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the node closed it: {}", info.message.trim())
            }
            DisconnectReason::Error(HandshakeError::Protocol(error)) => explain(&error),
            DisconnectReason::Error(error) => error.to_string(),
        };
        // Only the first reason is the cause.
        let _ = self.end.set(text);
        Ok(())
    }
}

/// The library's errors in words for a person.
pub(super) fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the node closed the connection".to_owned(),
        russh::Error::KeepaliveTimeout => "the node no longer answers (keep-alive)".to_owned(),
        russh::Error::Version => "what answers there is not an SSH server".to_owned(),
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the node closed the connection".to_owned()
        }
        russh::Error::IO(error) => error.to_string(),
        other => other.to_string(),
    }
}
