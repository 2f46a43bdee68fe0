//! Runs programs of the host: an argv, bounded time, bounded output; and knows processes again later.
//!
//! In: argv, stdin, a limit. Out: what it printed, or an error that quotes it. Never a shell line built from data.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

use super::error::LabError;

/// For programs that only ask the kernel for something.
pub(crate) const QUICK: Duration = Duration::from_secs(20);
/// Most bytes of output kept per stream; the rest is read and dropped.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// Most bytes of output quoted in an error.
const MAX_QUOTED_BYTES: usize = 2000;
/// Where system programs are, whatever the caller's PATH is.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Exit of the reader threads after the program itself has ended and something else holds its pipes.
const DRAIN: Duration = Duration::from_secs(2);

/// A program to run.
#[derive(Debug)]
pub(crate) struct Program {
    attempted: String,
    argv: Vec<OsString>,
    stdin: Vec<u8>,
    env: Vec<(OsString, OsString)>,
    limit: Duration,
    dir: Option<PathBuf>,
    max_output_bytes: usize,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// `attempted` says in words what this is for; it begins the error message.
    pub(crate) fn new<I, S>(attempted: impl Into<String>, argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self {
            attempted: attempted.into(),
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            env: Vec::new(),
            limit: QUICK,
            dir: None,
            max_output_bytes: MAX_OUTPUT_BYTES,
        }
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.argv.push(arg.into());
        self
    }

    pub(crate) fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_path_buf());
        self
    }

    /// Keeps standard output whole, however long: for output that is a file's content.
    pub(crate) fn all_output(mut self) -> Self {
        self.max_output_bytes = usize::MAX;
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub(crate) fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes all that the program starts end with it, and gives it mounts of its own: for long work that mounts
    /// things.
    pub(crate) fn contained(mut self) -> Self {
        let mut argv: Vec<OsString> =
            ["unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--"]
                .map(OsString::from)
                .into();
        argv.append(&mut self.argv);
        self.argv = argv;
        self
    }

    /// Runs it; anything but exit status 0 is an error. Returns its standard output.
    pub(crate) fn run(self) -> Result<String, LabError> {
        let attempted = self.attempted.clone();
        let command = self.shown();
        let finished = self.finish()?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let mut output = tail(&finished.stderr);
        if output.trim().is_empty() {
            output = tail(&finished.stdout);
        }
        Err(LabError::Command { attempted, command, status: finished.status.to_string(), output })
    }

    /// Runs it; any exit status is an answer.
    pub(crate) fn finish(self) -> Result<Finished, LabError> {
        let mut child = self.spawn()?;
        let (send, receive) = mpsc::channel();
        let stdin = child.stdin.take();
        let input = self.stdin.clone();
        thread::spawn(move || {
            if let Some(mut pipe) = stdin {
                // A program that does not want its input says so by its exit status.
                let _ = pipe.write_all(&input);
            }
        });
        let outputs =
            [drain(child.stdout.take(), self.max_output_bytes), drain(child.stderr.take(), MAX_OUTPUT_BYTES)];
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        thread::spawn(move || send.send(child.wait()));
        let status = match receive.recv_timeout(self.limit) {
            Ok(status) => status.map_err(LabError::io("wait for", Path::new(&self.argv[0])))?,
            Err(_) => {
                if let Some(group) = group {
                    // The group may have ended in this very moment; either way it is gone.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = receive.recv_timeout(DRAIN);
                return Err(LabError::Timeout {
                    attempted: format!("{} (`{}`)", self.attempted, self.shown()),
                    limit: self.limit,
                    state: tail(&collect(&outputs[1])),
                });
            }
        };
        Ok(Finished { status, stdout: collect(&outputs[0]), stderr: collect(&outputs[1]) })
    }

    fn spawn(&self) -> Result<Child, LabError> {
        let mut command = Command::new(&self.argv[0]);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        end_with_this_thread(&mut command);
        command
            .args(&self.argv[1..])
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("LANGUAGE")
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(LabError::io("run", Path::new(&self.argv[0])))
    }

    fn shown(&self) -> String {
        shown(&self.argv)
    }
}

/// A run that is killed leaves no program behind that goes on making things.
fn end_with_this_thread(command: &mut Command) {
    // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

/// An argv for people to read.
fn shown(argv: &[OsString]) -> String {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    shlex::try_join(words.iter().map(AsRef::as_ref)).unwrap_or_else(|_| words.join(" "))
}

fn drain(pipe: Option<impl Read + Send + 'static>, max_bytes: usize) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut kept = Vec::new();
        let mut chunk = [0; 8192];
        while let Ok(count) = pipe.read(&mut chunk) {
            if count == 0 {
                break;
            }
            kept.extend_from_slice(&chunk[..count]);
            if kept.len() > max_bytes {
                // The end of a long output says more than its beginning.
                kept.drain(..kept.len() - max_bytes / 2);
            }
        }
        let _ = send.send(kept);
    });
    receive
}

fn collect(output: &mpsc::Receiver<Vec<u8>>) -> String {
    String::from_utf8_lossy(&output.recv_timeout(DRAIN).unwrap_or_default()).into_owned()
}

/// The end of a text, cut at a character boundary.
pub(crate) fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(MAX_QUOTED_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

/// Waits until `check` gives a value. `what` begins the error message.
pub(crate) fn wait_for<T>(
    what: impl FnOnce() -> String,
    limit: Duration,
    mut check: impl FnMut() -> Result<Option<T>, LabError>,
) -> Result<T, LabError> {
    /// How often the condition is looked at: the kernel has no event for most of them.
    const INTERVAL: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = check()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(LabError::Timeout { attempted: what(), limit, state: String::new() });
        }
        thread::sleep(INTERVAL);
    }
}

/// A process that is known again later: numbers are reused, start times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks after boot (field 22 of /proc/PID/stat, proc(5)).
    pub(crate) started: u64,
}

impl ProcessId {
    /// The live process with this number; a zombie is not alive.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started) = parse_stat(&stat)?;
        if matches!(state, 'Z' | 'X') { None } else { Some(Self { pid, started }) }
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Reads a file made by [`ProcessId::write`].
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        Some(Self { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? })
    }

    /// Writes the number and the start time.
    pub(crate) fn write(self, file: &Path) -> Result<(), LabError> {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {}", self.pid, self.started);
        fs::write(file, text).map_err(LabError::io("write", file))
    }
}

/// State and start time from /proc/PID/stat; the name in between may hold blanks and parentheses.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// Whether a program is installed where system programs are.
pub(crate) fn is_installed(program: &OsStr) -> bool {
    SYSTEM_PATH.split(':').any(|dir| Path::new(dir).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_quoted_with_its_purpose() {
        let error = Program::new("try", ["sh", "-c", "echo no such thing >&2; exit 3"]).run().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("try: `sh -c"), "{text}");
        assert!(text.contains("exit status: 3") && text.contains("no such thing"), "{text}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let began = Instant::now();
        let error = Program::new("hang", ["sh", "-c", "sleep 60 & wait"])
            .limit(Duration::from_millis(200))
            .run()
            .unwrap_err();
        assert!(matches!(error, LabError::Timeout { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn input_larger_than_a_pipe_is_passed_through() {
        let text = "x".repeat(300_000);
        assert_eq!(Program::new("copy", ["cat"]).stdin(text.clone()).run().unwrap(), text);
    }

    #[test]
    fn stat_is_read_past_a_hostile_name() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
    }

    #[test]
    fn a_process_is_itself_and_not_its_successor() {
        let own = i32::try_from(std::process::id()).unwrap();
        let me = ProcessId::of(own).unwrap();
        assert!(me.is_alive());
        assert!(!ProcessId { started: me.started + 1, ..me }.is_alive());
    }
}
