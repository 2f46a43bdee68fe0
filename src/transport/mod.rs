//! How bytes get to a node and back. Knows nothing of clusters.
//!
//! [`Transport`] is the way to one node: over SSH ([`SshTransport`]), on this machine ([`LocalTransport`]), or
//! from a recording ([`ReplayTransport`]); [`Logged`] writes down what goes through any of them. A [`Fleet`]
//! holds those of a run.
//!
//! What holds for all of them:
//! - A command is an argument vector; a non-zero exit is an [`Output`], not an error.
//! - It runs in the locale C.UTF-8, within its time and output limits. One that exceeds them is ended on the
//!   node before that is reported; one whose connection is lost may still run.
//! - A command is never repeated: only a connection that was not yet used for it is made anew.

mod command;
mod error;
mod file_limit;
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
pub use file_limit::raise_open_file_limit;
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
