//! A client that knows what it was promised: it writes numbered blocks, many at a time, and keeps a list of those that
//! were acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const FIXED_NO_ZEROES: u32 = 3;
const EXPORT_NAME: u32 = 1;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const READ: u16 = 0;
const WRITE: u16 = 1;
const FLUSH: u16 = 3;

/// An open volume.
pub(crate) struct Client {
    stream: UnixStream,
    pub(crate) bytes: u64,
}

impl Client {
    pub(crate) fn open(socket: &Path) -> std::io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        stream.write_all(&FIXED_NO_ZEROES.to_be_bytes())?;
        stream.write_all(b"IHAVEOPT")?;
        stream.write_all(&EXPORT_NAME.to_be_bytes())?;
        stream.write_all(&0_u32.to_be_bytes())?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer)?;
        Ok(Self { stream, bytes: u64::from_be_bytes(answer[..8].try_into().unwrap()) })
    }

    pub(crate) fn send(
        &mut self,
        command: u16,
        cookie: u64,
        offset: u64,
        length: u32,
        data: &[u8],
    ) -> std::io::Result<()> {
        let mut request = REQUEST_MAGIC.to_be_bytes().to_vec();
        request.extend(0_u16.to_be_bytes());
        request.extend(command.to_be_bytes());
        request.extend(cookie.to_be_bytes());
        request.extend(offset.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(data);
        self.stream.write_all(&request)
    }

    /// The next answer: whose, and the error number.
    pub(crate) fn answer(&mut self) -> std::io::Result<(u64, u32)> {
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        let error = u32::from_be_bytes(reply[4..8].try_into().unwrap());
        Ok((u64::from_be_bytes(reply[8..].try_into().unwrap()), error))
    }

    /// Whether an answer is there already.
    pub(crate) fn has_answer(&self) -> bool {
        use rustix::net::RecvFlags;
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(rustix::net::recv(&self.stream, &mut [0_u8; 1][..], flags), Err(rustix::io::Errno::AGAIN))
    }

    /// Asks for a write of several blocks whose answer is to be awaited later.
    pub(crate) fn begin_write_of(&mut self, block: u64, blocks: u64, number: u64) {
        let bytes = blocks as usize * BLOCK;
        let data = content(number).repeat(blocks as usize);
        self.send(WRITE, number, block * BLOCK as u64, bytes as u32, &data).unwrap();
    }

    /// The same for one block.
    pub(crate) fn begin_write(&mut self, block: u64, number: u64) {
        self.send(WRITE, number, block * BLOCK as u64, BLOCK as u32, &content(number)).unwrap();
    }

    pub(crate) fn flush(&mut self) -> std::io::Result<u32> {
        self.send(FLUSH, u64::MAX, 0, 0, &[])?;
        Ok(self.answer()?.1)
    }

    pub(crate) fn read(&mut self, block: u64) -> Vec<u8> {
        self.send(READ, 0, block * BLOCK as u64, BLOCK as u32, &[]).unwrap();
        assert_eq!(self.answer().unwrap().1, 0);
        let mut data = vec![0; BLOCK];
        self.stream.read_exact(&mut data).unwrap();
        data
    }

    pub(crate) fn write(&mut self, block: u64, number: u64) -> std::io::Result<u32> {
        self.send(WRITE, number, block * BLOCK as u64, BLOCK as u32, &content(number))?;
        Ok(self.answer()?.1)
    }
}

/// What the write with this number writes.
pub(crate) fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK / 8)
}

/// What a block may hold: the last acknowledged write, or one that was begun after it and not answered.
#[derive(Default)]
pub(crate) struct History {
    acknowledged: BTreeMap<u64, u64>,
    begun: BTreeMap<u64, Vec<u64>>,
    next: u64,
    /// What each block held when everything was flushed last.
    flushed: BTreeMap<u64, u64>,
    /// What was begun since then.
    since: BTreeMap<u64, Vec<u64>>,
}

impl History {
    /// How many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// How many blocks were begun to be written.
    pub(crate) fn begun_blocks(&self) -> usize {
        self.begun.len()
    }

    /// Writes to random blocks, `depth` at a time, until `stop` says so or the connection breaks.
    pub(crate) fn write(&mut self, client: &mut Client, depth: usize, mut stop: impl FnMut(&Self) -> bool) {
        let blocks = client.bytes / BLOCK as u64;
        let mut under_way: BTreeMap<u64, u64> = BTreeMap::new();
        loop {
            let stopping = stop(self);
            if stopping && under_way.is_empty() {
                return;
            }
            if !stopping && under_way.len() < depth {
                self.next += 1;
                let block = self.next.wrapping_mul(0x9E37_79B9_7F4A_7C15) % blocks;
                if under_way.values().any(|other| *other == block) {
                    continue;
                }
                self.begun.entry(block).or_default().push(self.next);
                self.since.entry(block).or_default().push(self.next);
                if client
                    .send(WRITE, self.next, block * BLOCK as u64, BLOCK as u32, &content(self.next))
                    .is_err()
                {
                    return;
                }
                under_way.insert(self.next, block);
                continue;
            }
            let Ok((number, error)) = client.answer() else { return };
            let block = under_way.remove(&number).expect("an answer to something asked");
            if error == 0 {
                self.acknowledged.insert(block, number);
                self.begun.insert(block, Vec::new());
            }
        }
    }

    /// Every acknowledged write is there, unless a later one that was not answered is.
    pub(crate) fn check(&self, client: &mut Client) {
        self.check_except(client, |_| false);
    }

    /// The same, but for blocks that somebody else wrote to as well.
    pub(crate) fn check_except(&self, client: &mut Client, shared: impl Fn(u64) -> bool) {
        for (block, number) in self.acknowledged.iter().filter(|(block, _)| !shared(**block)) {
            let found = client.read(*block);
            let mut allowed = std::iter::once(number).chain(self.begun.get(block).into_iter().flatten());
            assert!(
                allowed.any(|number| found == content(*number)),
                "block {block}: write {number} was acknowledged, found {:?}",
                &found[..16]
            );
        }
    }

    /// Flushes, while nothing is under way.
    pub(crate) fn flush(&mut self, client: &mut Client) {
        assert_eq!(client.flush().unwrap(), 0);
        self.flushed.clone_from(&self.acknowledged);
        self.since.clear();
    }

    /// The blocks whose writes were acknowledged.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.acknowledged.keys().copied()
    }

    /// After everybody lost power: what was flushed is there, unless something written later is, sector by sector. What
    /// is there counts from here on; blocks that are torn are written anew.
    pub(crate) fn check_flushed(&mut self, client: &mut Client) {
        let blocks: BTreeSet<u64> = self.flushed.keys().chain(self.since.keys()).copied().collect();
        for block in blocks {
            let found = client.read(block);
            // Zeroes: never written, as far as anybody was promised.
            let flushed = self.flushed.get(&block).copied().unwrap_or(0);
            let later = self.since.get(&block).into_iter().flatten().copied();
            let allowed: Vec<u64> = std::iter::once(flushed).chain(later).collect();
            let known = |sector: &[u8]| allowed.iter().any(|number| sector == &content(*number)[..SECTOR]);
            assert!(
                found.chunks(SECTOR).all(known),
                "block {block}: write {flushed} was flushed, {allowed:?} is allowed"
            );
            let whole = allowed.iter().copied().find(|number| found == content(*number));
            let number = whole.unwrap_or_else(|| {
                self.next += 1;
                assert_eq!(client.write(block, self.next).unwrap(), 0);
                self.next
            });
            self.acknowledged.insert(block, number);
            self.begun.insert(block, Vec::new());
        }
        self.flush(client);
    }
}
