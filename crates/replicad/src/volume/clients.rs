//! Clients of the volume: what they ask for becomes requests of the core, and its answers go back.

use bytes::Bytes;
use nbd::{Command, Errno, Extent, Request};
use replica::state::DiskState;
use replica::{Admin, ClientError, Input};

use super::owner::Volume;
use crate::export::ClientEvent;
use crate::requests::{Answer, Origin, Wanted};

impl Volume {
    pub(super) fn client_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Opened { holder } => self.quiet(Admin::Opened { holder }),
            ClientEvent::Closed { holder } => self.quiet(Admin::Closed { holder }),
            ClientEvent::Request { client, request, .. }
                if matches!(request.command, Command::BlockStatus { .. }) =>
            {
                let extents = self.allocation(&request);
                self.clients.allocation(client, &request, &extents);
            }
            ClientEvent::Request { client, request, data } => match wanted(&request, data) {
                Some(wanted) => self.begin(Origin::Nbd { client, request }, wanted),
                None => self.clients.reply(client, &request, Err((Errno::Inval, "not offered here"))),
            },
        }
    }

    /// What is allocated on the disk that reads come from; nothing is known of a peer's.
    fn allocation(&self, request: &Request) -> Vec<Extent> {
        let Command::BlockStatus { offset, length, .. } = request.command else { return Vec::new() };
        let reads_here = self.replica.disk_state() == DiskState::UpToDate;
        let disk = self.disk.as_ref().filter(|_| reads_here);
        disk.map(|disk| disk.store().allocation(offset, u64::from(length))).unwrap_or_default()
    }

    /// An order that nobody waits for the answer of.
    pub(super) fn quiet(&mut self, command: Admin) {
        let id = self.requests.number();
        self.input(Input::Admin { id, command });
    }

    pub(super) fn begin(&mut self, origin: Origin, wanted: Wanted) {
        let mut pieces = Vec::new();
        self.requests.begin(origin, wanted, &mut pieces);
        self.client_pieces(pieces);
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        match answer.origin {
            Origin::Nbd { client, request } => {
                let message = answer.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let result = answer.result.map_err(|error| (errno(error), message.as_str()));
                self.clients.reply(client, &request, result);
            }
            Origin::Fuse { unique, written } => self.answer_fuse(unique, written, answer),
            Origin::Ublk { serial, tag } => self.answer_ublk(serial, tag, answer),
        }
    }
}

fn errno(error: ClientError) -> Errno {
    match error {
        ClientError::Invalid => Errno::Inval,
        ClientError::NotPrimary | ClientError::Io | ClientError::NoQuorum => Errno::Io,
    }
}

fn wanted(request: &Request, data: Bytes) -> Option<Wanted> {
    Some(match request.command {
        Command::Read { offset, length, .. } => Wanted::Read { offset, len: u64::from(length) },
        Command::Write { offset, fua, .. } => Wanted::Write { offset, data, fua },
        Command::Flush => Wanted::Flush,
        Command::Trim { offset, length, fua } => {
            Wanted::Zero { offset, len: u64::from(length), may_trim: true, fua }
        }
        Command::WriteZeroes { offset, length, fua, no_hole, .. } => {
            Wanted::Zero { offset, len: u64::from(length), may_trim: !no_hole, fua }
        }
        // The one was not offered, the other is answered by itself.
        Command::Cache { .. } | Command::BlockStatus { .. } => return None,
    })
}
