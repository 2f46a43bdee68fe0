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
use tokio::time::timeout;

use super::connection::{OpenChannel, Place, end_reason};
use super::handler::End;
use crate::transport::ExitStatus;
use crate::transport::process::{Event, Events, Input, Process};

/// Extended data of type 1 is stderr (RFC 4254, 5.2).
const STDERR: u32 = 1;
/// How long the node may take to confirm that a given-up channel is closed.
const MAX_CLOSE_WAIT: Duration = Duration::from_secs(10);

/// What becomes of a command whose output nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandon {
    /// It is told to terminate.
    Terminate,
    /// It sees the end of its stdin, and decides itself.
    CloseStdin,
}

/// Starts a command.
pub(super) async fn start(open: OpenChannel, line: String, abandon: Abandon) -> Result<Process, String> {
    let (read, write) = open.channel.split();
    let write = Arc::new(write);
    let mut events = ChannelEvents {
        read: Some(read),
        write: write.clone(),
        place: Some(open.place),
        end: open.end,
        abandon,
    };
    if let Err(error) = write.exec(true, line).await {
        let reason = if events.end.get().is_some() { events.lost() } else { error.to_string() };
        events.read = None;
        return Err(reason);
    }
    Ok(Process { events: Box::new(events), input: Box::new(ChannelInput { write }) })
}

struct ChannelEvents {
    /// `None` once the channel is closed.
    read: Option<ChannelReadHalf>,
    write: Arc<ChannelWriteHalf<Msg>>,
    place: Option<Place>,
    end: End,
    abandon: Abandon,
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
        end_reason(&self.end)
    }
}

impl Drop for ChannelEvents {
    fn drop(&mut self) {
        let (Some(mut read), Ok(runtime)) = (self.read.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (write, place, abandon) = (self.write.clone(), self.place.take(), self.abandon);
        runtime.spawn(async move {
            let give_up = async {
                // Each may fail because the connection has ended, which is as good.
                match abandon {
                    Abandon::Terminate => drop(write.signal(Sig::TERM).await),
                    Abandon::CloseStdin => drop(write.eof().await),
                }
                drop(write.close().await);
                while !matches!(read.wait().await, None | Some(ChannelMsg::Close)) {}
            };
            // A node that does not confirm is about to be found dead by the keep-alive.
            let _ = timeout(MAX_CLOSE_WAIT, give_up).await;
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
