//! Connections to the peers: made, protected, kept in pairs (data and control), and closed in good order.

mod connection;
mod peers;
#[cfg(test)]
mod tests;

pub use peers::NetError;
pub(crate) use peers::{PeerEvent, Peers};
