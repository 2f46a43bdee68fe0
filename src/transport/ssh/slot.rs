//! The place of one connection that many may want at once.
//!
//! In: a way to make the connection. Out: the one connection, or the one failure: those who waited while it
//! was tried share the outcome, so that a dead host costs one timeout however many ask for it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connection::Connection;
use crate::names::NodeName;
use crate::transport::TransportError;

/// One connection, or none yet.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    failure: Option<(Instant, TransportError)>,
}

impl Slot {
    /// The connection that is there, or the one that this makes. A lost one is made anew.
    pub(super) async fn get<F>(&self, node: &NodeName, open: F) -> Result<Arc<Connection>, TransportError>
    where
        F: Future<Output = Result<Connection, TransportError>>,
    {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        if let Some((_, error)) = state.failure.as_ref().filter(|(failed, _)| *failed >= asked) {
            return Err(error.clone().of_node(node));
        }
        state.connection = None;
        match open.await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State { connection: Some(connection.clone()), failure: None };
                Ok(connection)
            }
            Err(error) => {
                state.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}
