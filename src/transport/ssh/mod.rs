//! Nodes over SSH.

mod channel;
mod config;
mod connection;
mod context;
mod handler;
mod hop;
mod identity;
mod known_hosts;
mod login;
mod route;
mod settings;
mod slot;
mod terminate;
mod transport;

pub use context::{NoPassphrase, PassphraseFromEnv, PassphraseSource, SshContext};
pub use settings::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEPALIVE_INTERVAL, DEFAULT_KEEPALIVE_MISSES, DEFAULT_LOGIN_TIMEOUT,
    DEFAULT_PORT, HopError, HopSettings, SshSettings,
};
pub use transport::SshTransport;
