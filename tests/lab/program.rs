//! A run of a program with a deadline, whose lines can be watched while it runs.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a run ended.
pub(crate) struct Ran {
    /// The command, for messages.
    pub(crate) command: String,
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its stdout.
    pub(crate) out: String,
    /// Its stderr.
    pub(crate) err: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ran {
    /// It must have ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(self.code == Some(code), "exit code {code} was expected\n{self}");
        self
    }

    /// Its stdout must contain this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "its stdout was to contain `{text}`\n{self}");
        self
    }

    /// Its stderr must contain this.
    #[track_caller]
    pub(crate) fn warns(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "its stderr was to contain `{text}`\n{self}");
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("its stdout is not JSON: {error}\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        writeln!(f, "$ {}\nended with {code} after {:.1} s", self.command, self.took.as_secs_f64())?;
        write!(f, "--- stdout\n{}\n--- stderr\n{}\n---", self.out, self.err)
    }
}

/// A program that runs.
pub(crate) struct Program {
    child: Child,
    command: String,
    began: Instant,
    lines: Receiver<String>,
    out: Option<JoinHandle<String>>,
    err: String,
}

impl Program {
    /// Starts it, without stdin.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdout = child.stdout.take().expect("stdout is a pipe");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let command = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Self { child, command, began: Instant::now(), lines, out: Some(out), err: String::new() }
    }

    /// The next line of stderr; `None` when there will be no more.
    #[track_caller]
    pub(crate) fn line(&mut self, limit: Duration) -> Option<String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => {
                self.err.push_str(&line);
                self.err.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                panic!("waited {limit:?} for a line of `{}`, which said\n{}", self.command, self.err);
            }
        }
    }

    /// Waits for a line of stderr that matches; `None` when it ends without.
    #[track_caller]
    pub(crate) fn line_that(&mut self, limit: Duration, matches: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            let line = self.line(deadline.saturating_duration_since(Instant::now()))?;
            if matches(&line) {
                return Some(line);
            }
        }
    }

    /// What Ctrl-C does (SIGINT).
    #[track_caller]
    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill starts").success(), "it had ended already");
    }

    /// Ends it as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits until it ends.
    #[track_caller]
    pub(crate) fn finish(mut self, limit: Duration) -> Ran {
        let deadline = Instant::now() + limit;
        while self.line(deadline.saturating_duration_since(Instant::now())).is_some() {}
        let code = self.child.wait().expect("it can be waited for").code();
        let out = self.out.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let err = std::mem::take(&mut self.err);
        Ran { command: self.command.clone(), code, out, err, took: self.began.elapsed() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
