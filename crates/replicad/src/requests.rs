//! Requests of clients on their way through the core: cut into pieces that it takes, answered when all are done.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use nbd::Request;
use replica::config::MAX_REQUEST_BYTES;
use replica::io::ClientRequest;
use replica::wire::WriteBody;
use replica::{ClientError, RequestId};

/// Pieces of one request that are under way at a time.
const PIECES_AT_A_TIME: usize = 16;

/// Who asked, and how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client of the NBD export.
    Nbd {
        /// Which.
        client: u64,
        /// What it asked for.
        request: Request,
    },
    /// The kernel, for the file that the block device rests on.
    Fuse {
        /// Its number there.
        unique: u64,
        /// Bytes of a write, which the answer repeats.
        written: u32,
    },
    /// The kernel, for the ublk device.
    Ublk {
        /// Which device: a later one has the same numbers again.
        serial: u64,
        /// Its number there.
        tag: u16,
    },
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Bytes from there.
    Read {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// These bytes there.
    Write {
        /// First byte.
        offset: u64,
        /// What.
        data: Bytes,
        /// On stable storage before the answer.
        fua: bool,
    },
    /// Zeroes.
    Zero {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
        /// The space may be given back.
        may_trim: bool,
        /// On stable storage before the answer.
        fua: bool,
    },
    /// Everything answered so far on stable storage.
    Flush,
}

#[derive(Debug)]
struct Work {
    origin: Origin,
    wanted: Wanted,
    /// Bytes that are handed in.
    begun: u64,
    len: u64,
    under_way: usize,
    parts: BTreeMap<u64, Bytes>,
    error: Option<ClientError>,
}

/// A request that is done: the bytes of a read in order, or why not.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For whom.
    pub(crate) origin: Origin,
    /// What.
    pub(crate) result: Result<Vec<Bytes>, ClientError>,
}

/// All that are under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next_work: u64,
    next_id: u64,
    works: HashMap<u64, Work>,
    pieces: HashMap<RequestId, (u64, u64)>,
    bytes: u64,
}

impl Requests {
    /// Bytes that the requests under way hold, or will hold.
    #[must_use]
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are under way.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.works.len()
    }

    /// A number that no piece has.
    pub(crate) fn number(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id)
    }

    /// Takes a request. The pieces to hand in first are added to `out`.
    pub(crate) fn begin(
        &mut self,
        origin: Origin,
        wanted: Wanted,
        out: &mut Vec<(RequestId, ClientRequest)>,
    ) {
        let (len, held) = match &wanted {
            Wanted::Read { len, .. } => (*len, *len),
            Wanted::Write { data, .. } => (data.len() as u64, data.len() as u64),
            Wanted::Zero { len, .. } => (*len, 0),
            Wanted::Flush => (1, 0),
        };
        self.bytes += held;
        self.next_work += 1;
        let work = Work { origin, wanted, begun: 0, len, under_way: 0, parts: BTreeMap::new(), error: None };
        self.works.insert(self.next_work, work);
        self.pump(self.next_work, out);
    }

    fn pump(&mut self, number: u64, out: &mut Vec<(RequestId, ClientRequest)>) {
        let Some(work) = self.works.get_mut(&number) else { return };
        while work.begun < work.len && work.under_way < PIECES_AT_A_TIME && work.error.is_none() {
            let at = work.begun;
            let (request, len) = piece(&work.wanted, at, work.len);
            work.begun += len;
            work.under_way += 1;
            self.next_id += 1;
            self.pieces.insert(RequestId(self.next_id), (number, at));
            out.push((RequestId(self.next_id), request));
        }
    }

    /// A piece is done. The answer, when it was the last; else what to hand in next is added to `out`.
    pub(crate) fn done(
        &mut self,
        id: RequestId,
        result: Result<Option<Bytes>, ClientError>,
        out: &mut Vec<(RequestId, ClientRequest)>,
    ) -> Option<Answer> {
        let (number, at) = self.pieces.remove(&id)?;
        let work = self.works.get_mut(&number)?;
        work.under_way -= 1;
        match result {
            Ok(Some(data)) => {
                work.parts.insert(at, data);
            }
            Ok(None) => {}
            Err(error) => work.error = Some(error),
        }
        if work.error.is_none() && work.begun < work.len {
            self.pump(number, out);
            return None;
        }
        if work.under_way > 0 {
            return None;
        }
        let work = self.works.remove(&number)?;
        self.bytes -= match &work.wanted {
            Wanted::Read { .. } | Wanted::Write { .. } => work.len,
            Wanted::Zero { .. } | Wanted::Flush => 0,
        };
        let result = work.error.map_or_else(|| Ok(work.parts.into_values().collect()), Err);
        Some(Answer { origin: work.origin, result })
    }
}

/// The piece of a request that begins `at` bytes into it, and its length.
fn piece(wanted: &Wanted, at: u64, whole: u64) -> (ClientRequest, u64) {
    let len = (whole - at).min(MAX_REQUEST_BYTES);
    let request = match wanted {
        Wanted::Read { offset, .. } => ClientRequest::Read { offset: offset + at, len },
        Wanted::Write { offset, data, fua } => {
            // Within the data, which is in memory.
            let (start, end) = (usize::try_from(at).unwrap_or(0), usize::try_from(at + len).unwrap_or(0));
            let body = WriteBody::Data(data.slice(start..end));
            ClientRequest::Write { offset: offset + at, body, fua: *fua }
        }
        Wanted::Zero { offset, may_trim, fua, .. } => {
            let body = WriteBody::Zeroes { len, may_trim: *may_trim };
            ClientRequest::Write { offset: offset + at, body, fua: *fua }
        }
        Wanted::Flush => ClientRequest::Flush,
    };
    (request, len)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    const ORIGIN: Origin = Origin::Fuse { unique: 7, written: 0 };

    #[test]
    fn a_large_read_comes_in_pieces_and_is_put_together_in_order() {
        let mut requests = Requests::default();
        let mut out = Vec::new();
        let len = 2 * MAX_REQUEST_BYTES + 512;
        requests.begin(ORIGIN, Wanted::Read { offset: 4096, len }, &mut out);
        assert_eq!(requests.bytes(), len);
        let mut answer = None;
        for (id, request) in out.drain(..).rev() {
            let ClientRequest::Read { offset, len } = request else { unreachable!("a read is read") };
            let byte = ((offset - 4096) / MAX_REQUEST_BYTES) as u8;
            answer = requests.done(id, Ok(Some(Bytes::from(vec![byte; len as usize]))), &mut Vec::new());
        }
        let data = answer.unwrap().result.unwrap().concat();
        assert_eq!(data.len() as u64, len);
        assert!(data.iter().enumerate().all(|(at, byte)| *byte as u64 == at as u64 / MAX_REQUEST_BYTES));
        assert_eq!((requests.bytes(), requests.len()), (0, 0));
    }

    #[test]
    fn a_trim_of_everything_is_handed_in_bit_by_bit_and_stops_at_an_error() {
        let mut requests = Requests::default();
        let mut out = Vec::new();
        let wanted = Wanted::Zero { offset: 0, len: 1 << 40, may_trim: true, fua: false };
        requests.begin(ORIGIN, wanted, &mut out);
        assert_eq!(out.len(), PIECES_AT_A_TIME);
        let mut ids: Vec<RequestId> = out.drain(..).map(|(id, _)| id).collect();
        assert!(requests.done(ids.remove(0), Ok(None), &mut out).is_none());
        assert_eq!(out.len(), 1, "one done, one more");
        ids.push(out.remove(0).0);
        let last = ids.pop().unwrap();
        for id in ids {
            assert!(requests.done(id, Err(ClientError::Io), &mut out).is_none());
        }
        assert!(out.is_empty(), "nothing more is begun after an error");
        let answer = requests.done(last, Ok(None), &mut out).unwrap();
        assert_eq!(answer.result.unwrap_err(), ClientError::Io);
    }
}
