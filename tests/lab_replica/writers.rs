//! Clients that write through the virtual address, all the time: a service whose data is on the volume appends what they send
//! and answers when it is on stable storage. What was answered must be there for ever after, wherever the service runs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::TestLab;

/// Where the service listens.
const PORT: u16 = 7070;
/// Where its data is: on the volume.
const FILE: &str = "/srv/records";
/// How many write at the same time.
const CLIENTS: u64 = 4;
/// From so many answers on it counts as load.
const LOAD: u64 = 10 * CLIENTS;
/// How long a client waits for anything, before it begins anew with another record.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two attempts while nobody answers.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time until somebody answers (again).
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// The service's parts.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lab_replica");

/// The files that the service needs, as a barclamp's section.
pub(crate) fn files() -> String {
    format!(
        "      files:\n        files:\n          /usr/local/sbin/records: {{ source: {FIXTURES}/records, mode: \"0755\" }}\n        \
         agents: {{ \"acme:recorder\": {FIXTURES}/recorder }}\n"
    )
}

/// The service, as attributes of its volume.
pub(crate) fn service() -> String {
    format!(
        "            services:\n              recorder:\n                primitive: ocf:acme:recorder\n                \
         params: {{ port: \"{PORT}\", file: {FILE} }}\n                \
         operations: {{ monitor: {{ interval: 10s, timeout: 20s }} }}\n"
    )
}

/// A record: who wrote it, and its number.
type Record = (u64, u64);

/// What was acknowledged, and is there.
pub(crate) struct Kept {
    /// How many.
    pub(crate) count: u64,
    /// In words.
    pub(crate) words: String,
}

/// The clients; they end when this is dropped.
pub(crate) struct Writers {
    acknowledged: Arc<Mutex<Vec<(Instant, Record)>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Begins to write, and returns when all are answered and it counts as load. `round` tells apart whose records they are.
    #[track_caller]
    pub(crate) fn start(lab: &TestLab, round: u64) -> Self {
        let server = SocketAddr::new(lab.virtual_ip(), PORT);
        let (acknowledged, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let client = |number: u64| {
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            let client = round * CLIENTS + number;
            std::thread::spawn(move || {
                let mut next = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Whether a record without an answer is there or not: its number is not used again.
                    let answered =
                        |number| acknowledged.lock().unwrap().push((Instant::now(), (client, number)));
                    if write(server, client, &mut next, &stop, answered).is_err() {
                        std::thread::sleep(PAUSE);
                    }
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        let writers = Self { acknowledged, stop, threads };
        writers.answered_since(Instant::now(), "before anything is broken");
        writers.until("load", |list| list.len() as u64 > LOAD);
        writers
    }

    /// Waits until every client was answered after this moment.
    #[track_caller]
    pub(crate) fn answered_since(&self, from: Instant, when: &str) {
        self.until(when, |list| {
            let clients: BTreeSet<u64> =
                list.iter().filter(|(at, _)| *at > from).map(|(_, (client, _))| *client).collect();
            clients.len() as u64 == CLIENTS
        });
    }

    #[track_caller]
    fn until(&self, when: &str, holds: impl Fn(&[(Instant, Record)]) -> bool) {
        let deadline = Instant::now() + ANSWER_LIMIT;
        while !holds(&self.acknowledged.lock().unwrap()) {
            assert!(Instant::now() < deadline, "not all of {CLIENTS} clients are answered: {when}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends them, and counts what was answered and is not there. There must be answers from before and after `cut`.
    #[track_caller]
    pub(crate) fn none_is_missing(mut self, lab: &TestLab, holder: &str, cut: Instant) -> Kept {
        self.end();
        let list = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        let text = lab.on(holder, &format!("cat {FILE}"));
        let kept: BTreeSet<Record> = text.lines().filter_map(parse).collect();
        let missing: Vec<&Record> =
            list.iter().map(|(_, record)| record).filter(|record| !kept.contains(record)).collect();
        assert!(missing.is_empty(), "of {} acknowledged records are missing: {missing:?}", list.len());
        let (before, after): (Vec<Instant>, Vec<Instant>) =
            list.iter().map(|(at, _)| *at).partition(|at| *at < cut);
        let away = after.iter().min().expect("answered again").duration_since(cut);
        assert!(before.len() as u64 > LOAD, "{} before: it was not under load", before.len());
        Kept {
            count: list.len() as u64,
            words: format!(
                "{} writes through {} acknowledged before and {} after, none missing, the first one {:.1} s after the cut",
                before.len(),
                lab.virtual_ip(),
                after.len(),
                away.as_secs_f64()
            ),
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Writes on one connection until it breaks or is told to stop.
fn write(
    server: SocketAddr,
    client: u64,
    next: &mut u64,
    stop: &AtomicBool,
    answered: impl Fn(u64),
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    while !stop.load(Ordering::Relaxed) {
        *next += 1;
        stream.write_all(format!("{client} {next}\n").as_bytes())?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        if !answer.ends_with('\n') || parse(&answer) != Some((client, *next)) {
            return Err(std::io::Error::other("another answer"));
        }
        answered(*next);
    }
    Ok(())
}

fn parse(line: &str) -> Option<Record> {
    let (client, number) = line.trim_end().split_once(' ')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}
