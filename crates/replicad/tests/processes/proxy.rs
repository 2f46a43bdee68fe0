//! The link between two nodes in the test's hand: it damages what passes, remembers it, and lets nothing pass.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes passed on at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// What is remembered of what passed, in bytes.
const MAX_SEEN_BYTES: usize = 64 << 20;

#[derive(Default)]
struct State {
    /// Where the connections go.
    target: Mutex<Option<SocketAddr>>,
    /// A bit of every piece that is at least this large is flipped; 0: of none.
    damage_from: AtomicUsize,
    damaged: AtomicUsize,
    /// Milliseconds that each piece takes on its way.
    wait_ms: AtomicUsize,
    accepted: AtomicUsize,
    ended: AtomicBool,
    seen: Mutex<Vec<u8>>,
    streams: Mutex<Vec<TcpStream>>,
}

/// A proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

fn pass(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        let wait_ms = state.wait_ms.load(Ordering::SeqCst) as u64;
        std::thread::sleep(Duration::from_millis(wait_ms));
        let smallest = state.damage_from.load(Ordering::SeqCst);
        if smallest > 0 && bytes >= smallest {
            piece[bytes / 2] ^= 0x10;
            state.damaged.fetch_add(1, Ordering::SeqCst);
            // One is enough until the next is ordered.
            state.damage_from.store(0, Ordering::SeqCst);
        }
        let mut seen = state.seen.lock().unwrap();
        let room = MAX_SEEN_BYTES - seen.len();
        seen.extend_from_slice(&piece[..bytes.min(room)]);
        drop(seen);
        if to.write_all(&piece[..bytes]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = to.shutdown(Shutdown::Write);
}

fn accept(state: &Arc<State>, listener: &TcpListener) {
    while let Ok((near, _)) = listener.accept() {
        if state.ended.load(Ordering::SeqCst) {
            return;
        }
        let target = *state.target.lock().unwrap();
        let Some(far) = target.and_then(|target| TcpStream::connect(target).ok()) else { continue };
        state.accepted.fetch_add(1, Ordering::SeqCst);
        let copies = [near.try_clone(), far.try_clone()].map(Result::unwrap);
        let [near_copy, far_copy] = [near.try_clone(), far.try_clone()].map(Result::unwrap);
        state.streams.lock().unwrap().extend(copies);
        let (there, back) = (Arc::clone(state), Arc::clone(state));
        std::thread::spawn(move || pass(&there, near, far));
        std::thread::spawn(move || pass(&back, far_copy, near_copy));
    }
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let its_state = Arc::clone(&state);
        let listener = std::thread::spawn(move || accept(&its_state, &listener));
        Self { address, state, listener: Some(listener) }
    }

    /// From now on connections go there.
    pub(crate) fn leads_to(&self, target: SocketAddr) {
        *self.state.target.lock().unwrap() = Some(target);
    }

    /// Flips a bit of the next piece that is at least so large.
    pub(crate) fn damage(&self, smallest: usize) {
        self.state.damage_from.store(smallest, Ordering::SeqCst);
    }

    /// From now on each piece takes so long on its way.
    pub(crate) fn slow(&self, wait: Duration) {
        self.state.wait_ms.store(wait.as_millis() as usize, Ordering::SeqCst);
    }

    /// How many pieces were damaged.
    pub(crate) fn damaged(&self) -> usize {
        self.state.damaged.load(Ordering::SeqCst)
    }

    /// How many connections it passed on.
    pub(crate) fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Whether these bytes passed it.
    pub(crate) fn has_seen(&self, what: &[u8]) -> bool {
        let seen = self.state.seen.lock().unwrap();
        assert!(seen.len() < MAX_SEEN_BYTES, "not everything was remembered");
        seen.windows(what.len()).any(|window| window == what)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // It sees that it has ended when somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
