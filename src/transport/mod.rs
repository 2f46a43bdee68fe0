//! How bytes get to a node and back. Knows nothing of clusters.

mod command;
mod error;
mod files;
mod fleet;
mod local;
mod node;
mod process;
mod quote;
mod session;
mod ssh;
mod sudo;

pub use command::{
    Command, DEFAULT_COMMAND_TIMEOUT, DEFAULT_OUTPUT_LIMIT_BYTES, ExitStatus, FileImage, Output, Secrecy,
};
pub use error::TransportError;
pub use fleet::Fleet;
pub use local::LocalTransport;
pub use node::{Session, Transport};
pub use quote::{QuoteError, quote};
pub use ssh::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVE_INTERVAL, DEFAULT_KEEPALIVE_MISSES, DEFAULT_LOGIN_TIMEOUT,
    DEFAULT_PORT, HopError, HopSettings, NoPassphrase, PassphraseFromEnv, PassphraseSource, SshContext,
    SshSettings, SshTransport,
};
pub use sudo::Sudo;
