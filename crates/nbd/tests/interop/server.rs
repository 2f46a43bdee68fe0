//! A server around the codec: a unix socket, a thread per connection, a disk in memory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nbd::{
    BlockSizes, Command, Errno, Event, Export, Exports, Extent, Features, Part, Refused, Request, Session,
    TlsPolicy,
};

/// Size of the unit of allocation, in bytes.
const BLOCK: usize = 4096;
/// A read that touches this byte fails, to see how errors of a disk arrive.
pub(crate) const BAD_SECTOR: u64 = 3 << 20;

/// Everything there is to offer.
pub(crate) const ALL: Features = Features {
    read_only: false,
    flush: true,
    fua: true,
    rotational: false,
    trim: true,
    write_zeroes: true,
    fast_zero: true,
    cache: true,
    multi_conn: true,
    allocation: true,
};

/// A disk in memory that remembers which blocks were written, and what was asked of it.
pub(crate) struct Disk {
    data: Vec<u8>,
    allocated: Vec<bool>,
    /// How often each kind of request was served.
    pub(crate) served: BTreeMap<&'static str, u64>,
    /// What was refused, in order.
    pub(crate) refused: Vec<Refused>,
    bad_sector: bool,
}

impl Disk {
    fn new(size: u64) -> Self {
        let size = usize::try_from(size).unwrap();
        Self {
            data: vec![0; size],
            allocated: vec![false; size.div_ceil(BLOCK)],
            served: BTreeMap::new(),
            refused: Vec::new(),
            bad_sector: false,
        }
    }

    /// All of its bytes.
    pub(crate) fn contents(&self) -> &[u8] {
        &self.data
    }

    /// From now on [`BAD_SECTOR`] cannot be read.
    pub(crate) fn break_sector(&mut self) {
        self.bad_sector = true;
    }

    fn write(&mut self, at: usize, data: &[u8]) {
        self.data[at..at + data.len()].copy_from_slice(data);
        self.allocated[at / BLOCK..(at + data.len()).div_ceil(BLOCK)].fill(true);
    }

    fn zero(&mut self, at: usize, length: usize, release: bool) {
        self.data[at..at + length].fill(0);
        let whole = at.div_ceil(BLOCK)..((at + length) / BLOCK).max(at.div_ceil(BLOCK));
        if release {
            self.allocated[whole].fill(false);
        } else {
            self.allocated[at / BLOCK..(at + length).div_ceil(BLOCK)].fill(true);
        }
    }

    /// The range cut at the ends of blocks: where, how long, allocated.
    fn pieces(&self, mut at: usize, length: usize) -> Vec<(usize, usize, bool)> {
        let end = at + length;
        let mut pieces = Vec::new();
        while at < end {
            let next = ((at / BLOCK + 1) * BLOCK).min(end);
            pieces.push((at, next - at, self.allocated[at / BLOCK]));
            at = next;
        }
        pieces
    }
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) disk: Arc<Mutex<Disk>>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves one export `r0` of `size` bytes with blocks of at least 512 bytes, and a small one `other`.
    pub(crate) fn start(size: u64, features: Features, tls: TlsPolicy) -> Self {
        let blocks = BlockSizes::new(512, 4096, 1 << 21).unwrap();
        let export = Export::new(size, blocks, features).unwrap().described("the first volume").unwrap();
        let other = Export::new(4096, BlockSizes::default(), Features::default()).unwrap();
        let exports = Exports::new([("r0".to_owned(), export), ("other".to_owned(), other)]).unwrap();
        let exports = exports.with_default("r0").unwrap();

        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let disk = Arc::new(Mutex::new(Disk::new(size)));
        let stopping = Arc::new(AtomicBool::new(false));
        let (served, ends) = (disk.clone(), stopping.clone());
        let accepting = std::thread::spawn(move || {
            let mut clients = Vec::new();
            for stream in listener.incoming() {
                if ends.load(Ordering::Acquire) {
                    break;
                }
                let (stream, exports, disk) = (stream.unwrap(), exports.clone(), served.clone());
                clients.push(std::thread::spawn(move || serve(stream, exports, tls, &disk)));
            }
            for client in clients {
                client.join().expect("a connection's thread must not panic");
            }
        });
        Self { folder, disk, stopping, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A place for the test's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The export as a URI.
    pub(crate) fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket().display())
    }

    /// How often requests of a kind were served.
    pub(crate) fn served(&self, kind: &str) -> u64 {
        self.disk.lock().unwrap().served.get(kind).copied().unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        drop(UnixStream::connect(self.socket()));
        let ended = self.accepting.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().expect("the server must not panic");
        }
    }
}

fn serve(mut stream: UnixStream, exports: Exports, tls: TlsPolicy, disk: &Mutex<Disk>) {
    let mut out = Vec::new();
    let mut session = Session::new(exports, tls, &mut out);
    let mut buffer = vec![0; 1 << 16];
    let mut write: Option<(Request, Vec<u8>)> = None;
    loop {
        // A client that does not wait for its replies has gone; that is no concern of the server's.
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
        let Ok(bytes @ 1..) = stream.read(&mut buffer) else { return };
        let mut input = &buffer[..bytes];
        while !input.is_empty() {
            let Ok(step) = session.receive(input, &mut out) else { return };
            input = &input[step.consumed..];
            match step.event {
                Some(Event::Request(request)) if matches!(request.command, Command::Write { .. }) => {
                    write = Some((request, Vec::new()));
                }
                Some(Event::Request(request)) => {
                    carry_out(&session, &request, &[], &mut disk.lock().unwrap(), &mut out);
                }
                Some(Event::Payload { data, last }) => {
                    write.as_mut().unwrap().1.extend_from_slice(data);
                    if last {
                        let (request, data) = write.take().unwrap();
                        carry_out(&session, &request, &data, &mut disk.lock().unwrap(), &mut out);
                    }
                }
                Some(Event::Refused { refused, .. }) => disk.lock().unwrap().refused.push(refused),
                Some(Event::Ended(_)) => {
                    // A client that has gone does not need its last replies.
                    let _ = stream.write_all(&out);
                    return;
                }
                Some(Event::Opened) | None => {}
                Some(Event::StartTls) => panic!("no test offers TLS"),
            }
        }
    }
}

fn carry_out(session: &Session, request: &Request, payload: &[u8], disk: &mut Disk, out: &mut Vec<u8>) {
    let replies = session.replies();
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let mut count = |kind| *disk.served.entry(kind).or_default() += 1;
    match request.command {
        Command::Read { offset, length, .. } => {
            count("read");
            let bad = BAD_SECTOR >= offset && BAD_SECTOR < offset + u64::from(length);
            if disk.bad_sector && bad {
                return replies.fail(request, Errno::Io, "the sector cannot be read", out);
            }
            let pieces = disk.pieces(at(offset), length as usize);
            let parts: Vec<Part<'_>> = pieces
                .into_iter()
                .map(|(at, bytes, allocated)| {
                    if allocated { Part::Data(&disk.data[at..at + bytes]) } else { Part::Hole(bytes as u32) }
                })
                .collect();
            return replies.read(request, &parts, out).unwrap();
        }
        Command::Write { offset, fua, .. } => {
            count(if fua { "write with FUA" } else { "write" });
            disk.write(at(offset), payload);
        }
        Command::Flush => count("flush"),
        Command::Trim { offset, length, .. } => {
            count("trim");
            disk.zero(at(offset), length as usize, true);
        }
        Command::WriteZeroes { offset, length, no_hole, .. } => {
            count("write zeroes");
            disk.zero(at(offset), length as usize, !no_hole);
        }
        Command::Cache { .. } => count("cache"),
        Command::BlockStatus { offset, length, .. } => {
            count("block status");
            let pieces = disk.pieces(at(offset), length as usize);
            let extents: Vec<Extent> = pieces
                .into_iter()
                .map(|(_, bytes, data)| Extent { length: bytes as u64, hole: !data, zero: !data })
                .collect();
            return replies.block_status(request, &extents, out).unwrap();
        }
    }
    replies.done(request, out);
}
