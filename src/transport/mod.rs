//! How bytes get to a node and back. Knows nothing of clusters.

mod command;
mod error;
mod fleet;
mod node;

pub use command::{Command, ExitStatus, FileImage, Output, Secrecy};
pub use error::TransportError;
pub use fleet::Fleet;
pub use node::{Session, Transport};
