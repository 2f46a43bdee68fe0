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
mod sudo;

pub use command::{
    Command, DEFAULT_COMMAND_TIMEOUT, DEFAULT_OUTPUT_LIMIT_BYTES, ExitStatus, FileImage, Output, Secrecy,
};
pub use error::TransportError;
pub use fleet::Fleet;
pub use local::LocalTransport;
pub use node::{Session, Transport};
pub use quote::{QuoteError, quote};
pub use sudo::Sudo;
