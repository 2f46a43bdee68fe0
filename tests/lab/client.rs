//! A client of the virtual address that asks ten times a second, all the time, in a thread of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between the beginnings of two requests.
const INTERVAL: Duration = Duration::from_millis(100);
/// A request that was not answered after this time is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When it was sent.
    pub(crate) at: Instant,
    /// How long it took.
    pub(crate) took: Duration,
    /// The body of the answer (HAProxy names its node), or what went wrong.
    pub(crate) answer: Result<String, String>,
}

/// The client; it ends when it is dropped.
pub(crate) struct Client {
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Begins to ask.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = Instant::now();
                    let answer = ask(server);
                    let took = at.elapsed();
                    requests.lock().unwrap().push(Request { at, took, answer });
                    std::thread::sleep(INTERVAL.saturating_sub(took));
                }
            }
        });
        Self { requests, stop, thread: Some(thread) }
    }

    /// The requests that were sent since `from`.
    pub(crate) fn since(&self, from: Instant) -> Vec<Request> {
        self.requests.lock().unwrap().iter().filter(|request| request.at >= from).cloned().collect()
    }

    /// Every request since `from` must have been answered, and there must be some. Returns a summary.
    #[track_caller]
    pub(crate) fn lost_none(&self, from: Instant, during: &str) -> String {
        let requests = self.since(from);
        let lost: Vec<String> = requests
            .iter()
            .filter_map(|request| {
                let after = request.at.duration_since(from).as_secs_f64();
                request.answer.as_ref().err().map(|why| format!("after {after:.1} s: {why}"))
            })
            .collect();
        assert!(!requests.is_empty(), "the client did not ask during {during}");
        let (count, slowest) =
            (requests.len(), requests.iter().map(|request| request.took).max().unwrap_or_default());
        assert!(
            lost.is_empty(),
            "{} of {count} requests were lost during {during}:\n{}",
            lost.len(),
            lost.join("\n")
        );
        format!("{count} requests, none lost, the slowest took {} ms", slowest.as_millis())
    }

    /// Waits until an answer matches; returns it.
    #[track_caller]
    pub(crate) fn answered(&self, from: Instant, limit: Duration, matches: impl Fn(&str) -> bool) -> Request {
        loop {
            let found = self
                .since(from)
                .into_iter()
                .find(|it| it.answer.as_ref().is_ok_and(|answer| matches(answer)));
            if let Some(request) = found {
                return request;
            }
            let last = self.since(from).pop();
            assert!(from.elapsed() < limit, "waited {limit:?} for an answer; the last request: {last:?}");
            std::thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// One request on a connection of its own.
fn ask(server: SocketAddr) -> Result<String, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream =
        TcpStream::connect_timeout(&server, PATIENCE).map_err(|error| format!("connect: {error}"))?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.ip());
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|error| format!("send: {error}"))?;
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("receive: {error}")),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200") => {
            Ok(body.trim().to_owned())
        }
        _ => Err(format!("answered `{}`", text.lines().next().unwrap_or_default())),
    }
}
