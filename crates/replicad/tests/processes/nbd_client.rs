//! A client that knows what it was promised: it writes numbered blocks, many at a time, and keeps a list of those that
//! were acknowledged.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const BLOCK: usize = 4096;
const FIXED_NO_ZEROES: u32 = 3;
const EXPORT_NAME: u32 = 1;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const READ: u16 = 0;
const WRITE: u16 = 1;
const FLUSH: u16 = 3;

/// An open volume.
pub struct Client {
    stream: UnixStream,
    pub bytes: u64,
}

impl Client {
    pub fn open(socket: &Path) -> std::io::Result<Self> {
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

    pub fn send(
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
    pub fn answer(&mut self) -> std::io::Result<(u64, u32)> {
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        let error = u32::from_be_bytes(reply[4..8].try_into().unwrap());
        Ok((u64::from_be_bytes(reply[8..].try_into().unwrap()), error))
    }

    pub fn flush(&mut self) -> std::io::Result<u32> {
        self.send(FLUSH, u64::MAX, 0, 0, &[])?;
        Ok(self.answer()?.1)
    }

    pub fn read(&mut self, block: u64) -> Vec<u8> {
        self.send(READ, 0, block * BLOCK as u64, BLOCK as u32, &[]).unwrap();
        assert_eq!(self.answer().unwrap().1, 0);
        let mut data = vec![0; BLOCK];
        self.stream.read_exact(&mut data).unwrap();
        data
    }

    pub fn write(&mut self, block: u64, number: u64) -> std::io::Result<u32> {
        self.send(WRITE, number, block * BLOCK as u64, BLOCK as u32, &content(number))?;
        Ok(self.answer()?.1)
    }
}

/// What the write with this number writes.
pub fn content(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK / 8)
}

/// What a block may hold: the last acknowledged write, or one that was begun after it and not answered.
#[derive(Default)]
pub struct History {
    acknowledged: BTreeMap<u64, u64>,
    begun: BTreeMap<u64, Vec<u64>>,
    next: u64,
}

impl History {
    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Writes to random blocks, `depth` at a time, until `stop` says so or the connection breaks.
    pub fn write(&mut self, client: &mut Client, depth: usize, mut stop: impl FnMut(&Self) -> bool) {
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
    pub fn check(&self, client: &mut Client) {
        for (block, number) in &self.acknowledged {
            let found = client.read(*block);
            let mut allowed = std::iter::once(number).chain(self.begun.get(block).into_iter().flatten());
            assert!(
                allowed.any(|number| found == content(*number)),
                "block {block}: write {number} was acknowledged, found {:?}",
                &found[..16]
            );
        }
    }
}
