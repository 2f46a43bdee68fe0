//! The disk of a volume: the core's operations on a backing device.
//!
//! Data is read and written directly, many requests at a time. Flushes are put together: those that come while one is
//! under way share the next. Metadata goes in groups: all that waits is written, then flushed once, and only then
//! answered; so what the core was told is done is on stable storage, and nothing is written before what it follows.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;
use drbd_meta::Write;
use replica::io::DiskOp;
use replica::wire::WriteBody;
use replica::{DiskError, OpId};

use super::backend::{Backend, Choice};
use super::job::{Done, Job};
use super::last_known::LastKnown;
use super::metadata::Image;
use super::store::Store;
use crate::buffer::{self, Buffer};

/// What a finished operation comes to.
pub type Finished = (OpId, Result<Option<Bytes>, DiskError>);

#[derive(Debug)]
enum Purpose {
    Data(OpId),
    Flush,
    MetadataWrite,
    MetadataFlush,
}

/// A group of metadata operations under way.
#[derive(Debug, Default)]
struct Group {
    ops: Vec<OpId>,
    writes_left: usize,
    failed: bool,
}

/// Operations since the start, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads of data.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes of data.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Flushes that reached the device.
    pub flushes: u64,
    /// Groups of metadata written.
    pub metadata_groups: u64,
    /// Operations that failed.
    pub errors: u64,
}

/// The disk.
#[derive(Debug)]
pub struct VolumeDisk {
    store: Arc<Store>,
    backend: Backend,
    image: Image,
    next_token: u64,
    under_way: HashMap<u64, Purpose>,
    flushing: Vec<OpId>,
    flush_waiting: Vec<OpId>,
    group: Option<Group>,
    group_waiting: Vec<(OpId, DiskOp)>,
    finished: Vec<Finished>,
    done: Vec<Done>,
    counters: Counters,
    last_error: Option<std::io::Error>,
    last_known: Option<LastKnown>,
}

impl VolumeDisk {
    /// Begins to work on a device whose metadata was read.
    ///
    /// # Errors
    /// When there is no backend to work with.
    pub fn new(store: Store, image: Image, choice: Choice) -> std::io::Result<Self> {
        let store = Arc::new(store);
        let backend = Backend::new(choice, &store)?;
        Ok(Self {
            store,
            backend,
            image,
            next_token: 0,
            under_way: HashMap::new(),
            flushing: Vec::new(),
            flush_waiting: Vec::new(),
            group: None,
            group_waiting: Vec::new(),
            finished: Vec::new(),
            done: Vec::new(),
            counters: Counters::default(),
            last_error: None,
            last_known: None,
        })
    }

    /// Puts on record where the metadata is, whenever it moves.
    #[must_use]
    pub fn on_record(mut self, last_known: LastKnown) -> Self {
        self.last_known = Some(last_known);
        self
    }

    /// The device.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The backend's name.
    #[must_use]
    pub const fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The last error of the device, once.
    pub fn take_error(&mut self) -> Option<std::io::Error> {
        self.last_error.take()
    }

    /// Readable when something may be finished.
    #[must_use]
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.backend.wake()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
            && self.group_waiting.is_empty()
            && self.flush_waiting.is_empty()
            && self.finished.is_empty()
    }

    /// Takes an operation; it begins with the next [`Self::kick`].
    pub fn submit(&mut self, op: OpId, request: DiskOp) {
        match request {
            DiskOp::Read { offset, len } => {
                self.counters.reads += 1;
                self.counters.read_bytes += len;
                // The core asks for at most a few MiB.
                let buffer = Buffer::new(usize::try_from(len).unwrap_or(0));
                self.begin(Purpose::Data(op), Job::Read { offset, buffer });
            }
            DiskOp::Write { offset, body } => {
                self.counters.writes += 1;
                self.counters.written_bytes += body.bytes();
                let job = match body {
                    WriteBody::Data(data) => Job::Write { offset, data: self.writable(data) },
                    WriteBody::Zeroes { len, may_trim } => Job::Zero { offset, len, may_trim },
                };
                self.begin(Purpose::Data(op), job);
            }
            DiskOp::Flush => self.flush_waiting.push(op),
            metadata => self.group_waiting.push((op, metadata)),
        }
    }

    /// Direct I/O needs aligned memory.
    fn writable(&self, data: Bytes) -> Bytes {
        if buffer::is_aligned(&data, self.store.logical_block()) {
            data
        } else {
            Buffer::copied(&data).freeze()
        }
    }

    fn begin(&mut self, purpose: Purpose, job: Job) {
        self.next_token += 1;
        self.under_way.insert(self.next_token, purpose);
        self.backend.submit(self.next_token, job);
    }

    /// Begins everything that can begin. The operations that cannot be begun any more fail.
    pub fn kick(&mut self) {
        if self.flushing.is_empty() && !self.flush_waiting.is_empty() {
            self.flushing = std::mem::take(&mut self.flush_waiting);
            self.counters.flushes += 1;
            self.begin(Purpose::Flush, Job::Sync);
        }
        if self.group.is_none() && !self.group_waiting.is_empty() {
            self.begin_group();
        }
        if let Err(error) = self.backend.kick() {
            self.fail_all(error);
        }
    }

    fn begin_group(&mut self) {
        let mut writes = Vec::new();
        let mut group = Group::default();
        // Whoever makes room has the metadata for itself.
        let alone = |(_, request): &(OpId, DiskOp)| *request == DiskOp::MakeRoom;
        let until = self.group_waiting.iter().position(alone).unwrap_or(self.group_waiting.len());
        if until == 0 {
            let (op, _) = self.group_waiting.remove(0);
            return self.make_room(op);
        }
        for (op, request) in self.group_waiting.drain(..until).collect::<Vec<_>>() {
            self.image.apply(&request, &mut writes);
            group.ops.push(op);
        }
        writes.extend(self.image.bitmap_writes());
        self.counters.metadata_groups += 1;
        group.writes_left = writes.len();
        let nothing_to_write = writes.is_empty();
        self.group = Some(group);
        for write in writes {
            let job = match write {
                Write::Data { offset, bytes } => Job::Write { offset, data: Buffer::copied(&bytes).freeze() },
                Write::Zeroes { offset, length } => Job::Zero { offset, len: length, may_trim: false },
            };
            self.begin(Purpose::MetadataWrite, job);
        }
        if nothing_to_write {
            // What it asks for is on the device already, by a group before this one.
            self.end_group(Ok(()));
        }
    }

    /// Rare, and short: the metadata is small. Nothing else is done to it meanwhile.
    fn make_room(&mut self, op: OpId) {
        let result = self.image.make_room(&self.store).map_err(|error| {
            self.last_error = Some(std::io::Error::other(error));
            DiskError
        });
        // The metadata is where it is found without a record; that there is none is told.
        let noted =
            self.last_known.as_ref().map(|known| known.note(self.store.path(), self.image.device_bytes()));
        if let Some(Err(error)) = noted {
            self.last_error = Some(std::io::Error::other(error));
        }
        let answer = result.map(|room| Some(Bytes::copy_from_slice(&room.to_be_bytes())));
        self.finished.push((op, answer));
    }

    fn end_group(&mut self, result: Result<(), DiskError>) {
        for op in self.group.take().unwrap_or_default().ops {
            self.finished.push((op, result.map(|()| None)));
        }
    }

    fn fail_all(&mut self, error: std::io::Error) {
        self.last_error = Some(error);
        let mut ops: Vec<OpId> = self.flushing.drain(..).chain(self.flush_waiting.drain(..)).collect();
        ops.extend(self.group.take().unwrap_or_default().ops);
        ops.extend(self.group_waiting.drain(..).map(|(op, _)| op));
        for purpose in std::mem::take(&mut self.under_way).into_values() {
            if let Purpose::Data(op) = purpose {
                ops.push(op);
            }
        }
        self.counters.errors += ops.len() as u64;
        self.finished.extend(ops.into_iter().map(|op| (op, Err(DiskError))));
    }

    /// Takes note of a wake-up; to be followed by [`Self::finished`].
    pub fn rest(&self) {
        self.backend.rest();
    }

    /// What is finished since the last time.
    pub fn finished(&mut self) -> Vec<Finished> {
        let mut done = std::mem::take(&mut self.done);
        self.backend.collect(&mut done);
        for Done { token, result } in done.drain(..) {
            self.settle(token, result);
        }
        self.done = done;
        std::mem::take(&mut self.finished)
    }

    /// Whether [`Self::kick`] has something to do.
    #[must_use]
    pub fn wants_kick(&self) -> bool {
        self.backend.is_behind()
            || (self.flushing.is_empty() && !self.flush_waiting.is_empty())
            || (self.group.is_none() && !self.group_waiting.is_empty())
            || !self.finished.is_empty()
    }

    fn settle(&mut self, token: u64, result: std::io::Result<Option<Buffer>>) {
        let Some(purpose) = self.under_way.remove(&token) else { return };
        let result = result.map_err(|error| {
            self.counters.errors += 1;
            self.last_error = Some(error);
            DiskError
        });
        match purpose {
            Purpose::Data(op) => {
                self.finished.push((op, result.map(|data| data.map(Buffer::freeze))));
            }
            Purpose::Flush => {
                for op in std::mem::take(&mut self.flushing) {
                    self.finished.push((op, result.as_ref().map(|_| None).map_err(|error| *error)));
                }
            }
            Purpose::MetadataWrite => self.metadata_written(result.is_err()),
            Purpose::MetadataFlush => self.end_group(result.map(|_| ())),
        }
    }

    fn metadata_written(&mut self, failed: bool) {
        let Some(group) = &mut self.group else { return };
        group.writes_left -= 1;
        group.failed |= failed;
        if group.writes_left > 0 {
            return;
        }
        if group.failed {
            self.end_group(Err(DiskError));
        } else {
            self.begin(Purpose::MetadataFlush, Job::Sync);
        }
    }
}
