//! One command on one channel of a connection.
//!
//! In: an open channel, a line for the remote shell. Out: the running command. A command that is given up is
//! sent a signal, its channel closed, and its place kept until the node has confirmed that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{Connection, OpenChannel, Place};
use super::terminate::Termination;
use crate::transport::ExitStatus;
use crate::transport::process::{Event, Events, Input, Process};

/// Extended data of type 1 is stderr (RFC 4254, 5.2).
const STDERR: u32 = 1;
/// How long the node may take to confirm that a given-up channel is closed; longer than ending its command.
const MAX_CLOSE_WAIT: Duration = Duration::from_secs(15);

/// Starts a command; `termination` is what ends it when its output is no longer wanted, otherwise it only
/// sees the end of its stdin. The receiver ends when an abandoned command has been dealt with.
pub(super) async fn start(
    open: OpenChannel,
    line: String,
    termination: Option<Termination>,
) -> Result<(Process, oneshot::Receiver<()>), String> {
    let (read, write) = open.channel.split();
    let write = Arc::new(write);
    let (settled, settling) = oneshot::channel();
    let mut events = ChannelEvents {
        read: Some(read),
        write: write.clone(),
        place: Some(open.place),
        connection: open.connection,
        termination,
        settled: Some(settled),
    };
    if write.exec(true, line).await.is_err() {
        events.closed();
        return Err(events.lost());
    }
    Ok((Process { events: Box::new(events), input: Box::new(ChannelInput { write }) }, settling))
}

struct ChannelEvents {
    /// `None` once the channel is closed.
    read: Option<ChannelReadHalf>,
    write: Arc<ChannelWriteHalf<Msg>>,
    place: Option<Place>,
    connection: Arc<Connection>,
    termination: Option<Termination>,
    settled: Option<oneshot::Sender<()>>,
}

impl ChannelEvents {
    fn closed(&mut self) {
        self.read = None;
        self.place = None;
    }
}

#[async_trait]
impl Events for ChannelEvents {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.read.as_mut()?.wait().await {
                None | Some(ChannelMsg::Close) => {
                    self.closed();
                    return None;
                }
                Some(ChannelMsg::Data { data }) => return Some(Event::Stdout(data)),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => return Some(Event::Stderr(data)),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    return Some(Event::Exit(ExitStatus::Code(exit_status)));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    return Some(Event::Exit(ExitStatus::Signal(signal(&signal_name).to_owned())));
                }
                Some(ChannelMsg::Failure) => {
                    return Some(Event::Refused(
                        "the node refused to run a command (ForceCommand, chroot?)".to_owned(),
                    ));
                }
                Some(_) => {}
            }
        }
    }

    fn lost(&self) -> String {
        self.connection.end_reason()
    }

    fn let_go(&mut self) {
        self.termination = None;
    }
}

impl Drop for ChannelEvents {
    fn drop(&mut self) {
        let (Some(mut read), Ok(runtime)) = (self.read.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (write, place, settled) = (self.write.clone(), self.place.take(), self.settled.take());
        let ending = self.termination.take().map(|termination| (termination, self.connection.clone()));
        runtime.spawn(async move {
            let end = async {
                // Each may fail because the connection has ended, which is as good.
                drop(write.eof().await);
                drop(write.close().await);
                if let Some((termination, connection)) = ending {
                    termination.run(&connection).await;
                }
                drop(settled);
            };
            // What still comes is taken meanwhile: it would hold up the whole connection. sshd confirms the
            // end of the channel once the command has ended, and counts it among the open ones until then.
            let confirmed = async { while !matches!(read.wait().await, None | Some(ChannelMsg::Close)) {} };
            let _ = tokio::join!(end, timeout(MAX_CLOSE_WAIT, confirmed));
            drop(place);
        });
    }
}

struct ChannelInput {
    write: Arc<ChannelWriteHalf<Msg>>,
}

#[async_trait]
impl Input for ChannelInput {
    async fn write(&mut self, bytes: Bytes) -> Result<(), String> {
        self.write.data_bytes(bytes).await.map_err(|_| "the connection has ended".to_owned())
    }

    async fn close(&mut self) {
        // It fails only when the connection has ended, which the reader learns.
        let _ = self.write.eof().await;
    }
}

/// A signal's name without `SIG` (RFC 4254, 6.10).
fn signal(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}
