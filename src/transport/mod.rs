//! How bytes get to a node and back. Knows nothing of clusters.

mod command;
mod error;
mod files;
mod fleet;
mod local;
mod log;
mod node;
mod process;
mod quote;
mod replay;
mod session;
mod ssh;
mod sudo;

pub use command::{
    Command, DEFAULT_COMMAND_TIMEOUT, DEFAULT_OUTPUT_LIMIT_BYTES, ExitStatus, FileImage, Output, Secrecy,
};
pub use error::TransportError;
pub use fleet::{DEFAULT_PARALLEL_NODES, Fleet};
pub use local::LocalTransport;
pub use log::{CommandLog, Logged};
pub use node::{Session, Transport};
pub use quote::{QuoteError, quote};
pub use replay::{Recorded, ReplayTransport};
pub use ssh::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVE_INTERVAL, DEFAULT_KEEPALIVE_MISSES, DEFAULT_LOGIN_TIMEOUT,
    DEFAULT_PORT, HopError, HopSettings, NoPassphrase, PassphraseFromEnv, PassphraseSource, SshContext,
    SshSettings, SshTransport,
};
pub use sudo::Sudo;
