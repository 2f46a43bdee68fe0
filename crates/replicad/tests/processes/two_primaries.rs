//! Two Primaries as real processes, with a client each: writes that meet, a process that is killed, who is let in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use replicad::control::Verb;
use serde_json::Value;

use crate::nbd_client::{Client, History, content};
use crate::pair::{Node, Pair, Setup, connection, in_sync};

const DEPTH: u64 = 16;
/// Blocks that both write to: few, so that their writes meet all the time.
const MEETING_PLACES: u64 = 12;
/// Longest write, in blocks.
const LONGEST: u64 = 4;
const WRITES: u64 = 6_000;
/// Told from the other's by its numbers.
const BETA: u64 = 1 << 40;
/// Who is lost counts as fenced.
const HANDLERS: &str = "handlers: { fence-peer: 'exit 7' }";

fn both(setup: Setup<'_>) -> Pair {
    let net = format!("allow-two-primaries: yes, {}", setup.net);
    let pair = Setup { net: &net, ..setup }.in_use();
    pair.beta.order(Verb::Primary { force: false });
    let both = |status: &Value| {
        status["role"] == "Primary" && status["connections"][0]["peer-role"] == "Primary" && in_sync(status)
    };
    pair.alpha.wait("both are Primary", both);
    pair.beta.wait("both are Primary", both);
    pair
}

/// Writes here and there, many at a time, numbered from `first` on. The last number that was written to each block.
fn write(socket: &Path, first: u64) -> BTreeMap<u64, u64> {
    let mut client = Client::open(socket).unwrap();
    let (mut next, end) = (first, first + WRITES);
    let mut under_way = BTreeMap::new();
    let mut written = BTreeMap::new();
    while next < end || !under_way.is_empty() {
        if next < end && (under_way.len() as u64) < DEPTH {
            let random = next.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let (block, blocks) = (random % MEETING_PLACES, 1 + random / 1000 % LONGEST);
            client.begin_write_of(block, blocks, next);
            under_way.insert(next, (block, blocks));
            next += 1;
            if random % 97 == 0 {
                // Everything is answered before, so that the next answer is the flush's.
                drain(&mut client, &mut under_way, &mut written);
                assert_eq!(client.flush().unwrap(), 0);
            }
            continue;
        }
        take_answer(&mut client, &mut under_way, &mut written);
    }
    assert_eq!(client.flush().unwrap(), 0);
    written
}

fn drain(client: &mut Client, under_way: &mut BTreeMap<u64, (u64, u64)>, written: &mut BTreeMap<u64, u64>) {
    while !under_way.is_empty() {
        take_answer(client, under_way, written);
    }
}

fn take_answer(
    client: &mut Client,
    under_way: &mut BTreeMap<u64, (u64, u64)>,
    written: &mut BTreeMap<u64, u64>,
) {
    let (number, error) = client.answer().unwrap();
    assert_eq!(error, 0, "write {number}");
    let (block, blocks) = under_way.remove(&number).expect("an answer to something asked");
    for block in block..block + blocks {
        let last = written.entry(block).or_insert(number);
        *last = (*last).max(number);
    }
}

fn in_thread<T: Send + 'static>(
    socket: PathBuf,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || work(&socket))
}

/// Writers on both, to the same blocks; both disks hold the same, and in each block the last write of one of the two.
pub(crate) fn cross() {
    let mut pair = both(Setup::default());
    let writers = [(&pair.alpha, 1), (&pair.beta, BETA)]
        .map(|(node, first)| in_thread(node.nbd(), move |socket| write(socket, first)));
    let last = writers.map(|writer| writer.join().unwrap());
    for node in [&pair.alpha, &pair.beta] {
        let mut client = Client::open(&node.nbd()).unwrap();
        for block in 0..MEETING_PLACES + LONGEST - 1 {
            let allowed: Vec<u64> = last.iter().filter_map(|written| written.get(&block).copied()).collect();
            let found = client.read(block);
            assert!(
                allowed.iter().any(|number| found == content(*number)),
                "{}: block {block} holds {:?}, and the last writes were {allowed:?}",
                node.name,
                &found[..8]
            );
        }
    }
    let met = last[0].keys().filter(|block| last[1].contains_key(block)).count() as u64;
    assert_eq!(met, MEETING_PLACES + LONGEST - 1, "both wrote to all of them");
    pair.beta.eventually("its client is gone", || pair.beta.is_demoted());
    pair.alpha.wait("the other is Secondary", |status| status["connections"][0]["peer-role"] == "Secondary");
    pair.assert_equal();
}

/// How long both write before one is killed.
const WHILE: Duration = Duration::from_secs(2);

fn write_for(socket: &Path, deadline: Instant, killed: bool) -> History {
    let mut client = Client::open(socket).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH as usize, |_| !killed && Instant::now() >= deadline);
    history
}

/// One of the two is killed in the middle: the other goes on once that is fenced, with everything that either was told.
pub(crate) fn survivor() {
    for kill_alpha in [false, true] {
        let net = "fencing: resource-and-stonith,";
        let mut pair = both(Setup { net, more: HANDLERS, ..Setup::default() });
        let (victim, survivor) =
            if kill_alpha { (&pair.alpha, &pair.beta) } else { (&pair.beta, &pair.alpha) };
        let deadline = Instant::now() + WHILE + WHILE;
        let doomed = in_thread(victim.nbd(), move |socket| write_for(socket, deadline, true));
        std::thread::sleep(WHILE);
        // Apart from the other's: what each was told must be there, whoever wrote it.
        let goes_on = in_thread(survivor.nbd(), move |socket| {
            let mut client = Client::open(socket).unwrap();
            let mut history = Apart::new(&client);
            history.write(&mut client, deadline);
            history
        });
        std::thread::sleep(WHILE / 2);
        let victim = if kill_alpha { &mut pair.alpha } else { &mut pair.beta };
        victim.kill();
        let told = doomed.join().unwrap();
        let own = goes_on.join().unwrap();
        assert!(told.acknowledged() > 100 && own.last.len() > 10, "both have written");
        let survivor: &Node = if kill_alpha { &pair.beta } else { &pair.alpha };
        let mut client = Client::open(&survivor.nbd()).unwrap();
        told.check_except(&mut client, |block| own.last.contains_key(&block));
        own.check(&mut client);
        drop(client);
        let victim = if kill_alpha { &mut pair.alpha } else { &mut pair.beta };
        victim.start();
        pair.alpha.wait("in sync again", in_sync);
        pair.beta.wait("in sync again", in_sync);
        // It joins again, and is equal.
        let victim = if kill_alpha { &pair.alpha } else { &pair.beta };
        victim.order(Verb::Primary { force: false });
        for node in [&pair.alpha, &pair.beta] {
            node.eventually("its client is gone", || node.is_demoted());
        }
        pair.assert_equal();
    }
}

/// A writer of every seventh block, one at a time.
struct Apart {
    last: BTreeMap<u64, u64>,
    blocks: u64,
}

impl Apart {
    fn new(client: &Client) -> Self {
        Self { last: BTreeMap::new(), blocks: client.bytes / 4096 }
    }

    fn write(&mut self, client: &mut Client, deadline: Instant) {
        let mut number = BETA;
        while Instant::now() < deadline {
            number += 1;
            let block = number * 7 % self.blocks;
            assert_eq!(client.write(block, number).unwrap(), 0);
            self.last.insert(block, number);
        }
    }

    fn check(&self, client: &mut Client) {
        for (block, number) in &self.last {
            // The other's last write to it may have come later, before it was killed.
            let found = client.read(*block);
            let theirs = u64::from_le_bytes(found[..8].try_into().unwrap());
            assert!(found == content(*number) || theirs < BETA, "block {block}: {number} was answered");
        }
    }
}

pub(crate) fn refusals() {
    let pair = Setup::default().in_use();
    assert!(pair.beta.refused(Verb::Primary { force: false }).contains("node 0 is Primary"));
    drop(pair);
    // One side has the option, the other has not: they do not connect.
    let mut pair = both(Setup::default());
    pair.beta.order(Verb::Secondary { force: false });
    pair.beta.down();
    let text = std::fs::read_to_string(pair.beta.config()).unwrap();
    std::fs::write(pair.beta.config(), text.replace("allow-two-primaries: yes, ", "")).unwrap();
    let mut events = pair.alpha.events();
    pair.beta.start();
    loop {
        let said = events.next().to_string();
        if said.contains("allow-two-primaries") {
            break;
        }
    }
    assert_ne!(connection(&pair.alpha.status()), "Connected");
    pair.beta.down();
    std::fs::write(pair.beta.config(), text).unwrap();
    pair.beta.start();
    pair.alpha.wait("in sync again", in_sync);
    pair.beta.order(Verb::Primary { force: false });
    assert!(pair.beta.refused(Verb::Disconnect { peer: None }).contains("demote one of the two first"));
    pair.beta.order(Verb::Detach);
    assert!(pair.beta.refused(Verb::Attach).contains("demote one of the two first"));
    pair.beta.order(Verb::Secondary { force: false });
    pair.beta.order(Verb::Attach);
    pair.alpha.wait("in sync again", in_sync);
}
