//! The full log of everything that was done on the nodes.
//!
//! In: commands, file operations and what came of them. Out: a file with argument vector, exit status, output
//! and duration of each, for a person to read after a failure. Secrets are masked wherever they turn up, and
//! the output of each command is bounded. A log that cannot be written does not stop the run: see
//! [`CommandLog::failure`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use secrecy::{ExposeSecret, SecretString};

use super::{Command, FileImage, Output, Secrecy, Session, Transport, TransportError};
use crate::names::NodeName;

/// Most bytes of one stream that are kept: the first half and the last half of this.
const MAX_STREAM_BYTES: usize = 64 * 1024;
/// Shorter secrets are not masked: they would turn up by chance everywhere.
const MIN_SECRET_BYTES: usize = 4;
/// What stands in the place of a secret.
const MASK: &str = "<secret>";

/// The log of a run; shared by the transports of all nodes.
pub struct CommandLog {
    path: Utf8PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    secrets: Vec<SecretString>,
    entries: u64,
    failure: Option<String>,
}

impl std::fmt::Debug for CommandLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CommandLog {
    /// Appends to this file, which is made for its owner alone if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Utf8Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let state = State { file, secrets: Vec::new(), entries: 0, failure: None };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Masks this text, and each of its lines, from now on.
    pub fn mask(&self, secret: &SecretString) {
        let secret = secret.expose_secret();
        let parts = std::iter::once(secret).chain(secret.lines());
        let mut state = self.state();
        for part in parts.map(str::trim).filter(|part| part.len() >= MIN_SECRET_BYTES) {
            if !state.secrets.iter().any(|known| known.expose_secret() == part) {
                state.secrets.push(SecretString::from(part.to_owned()));
            }
        }
        // A secret that contains another one is masked first.
        state.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
    }

    /// Why the log is not complete, if it is not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic between two writes leaves at worst an entry cut short.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one entry: a headline, and indented blocks.
    fn write(&self, node: &NodeName, headline: &str, blocks: &[Block<'_>]) {
        let mut state = self.state();
        state.entries += 1;
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let mut text = format!("{time} #{} {node}: {}\n", state.entries, visible(&state.masked(headline)));
        for block in blocks {
            block.render(&state, &mut text);
        }
        if let Err(error) = state.file.write_all(text.as_bytes()) {
            state.failure.get_or_insert_with(|| format!("cannot write the log {}: {error}", self.path));
        }
    }
}

impl State {
    fn masked(&self, text: &str) -> String {
        let mask = |text: String, secret: &SecretString| text.replace(secret.expose_secret(), MASK);
        self.secrets.iter().fold(text.to_owned(), mask)
    }
}

/// A part of an entry.
enum Block<'a> {
    Line(String),
    /// A stream, or only its size when it may not be seen.
    Stream(&'static str, &'a Bytes, Secrecy),
}

impl Block<'_> {
    fn render(&self, state: &State, text: &mut String) {
        match self {
            Self::Line(line) => text.push_str(&format!("    {}\n", visible(&state.masked(line)))),
            Self::Stream(_, bytes, _) if bytes.is_empty() => {}
            Self::Stream(name, bytes, Secrecy::Secret) => {
                text.push_str(&format!("    {name}: {} bytes, secret\n", bytes.len()));
            }
            Self::Stream(name, bytes, Secrecy::Open) => {
                text.push_str(&format!("    {name}: {} bytes\n", bytes.len()));
                // Masked before it is cut, so that no half of a secret remains at the cut.
                for line in bounded(&state.masked(&String::from_utf8_lossy(bytes))).lines() {
                    text.push_str(&format!("    | {}\n", visible(line)));
                }
            }
        }
    }
}

/// The beginning and the end of a long text.
fn bounded(text: &str) -> String {
    if text.len() <= MAX_STREAM_BYTES {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(MAX_STREAM_BYTES / 2);
    let tail = text.ceil_char_boundary(text.len() - MAX_STREAM_BYTES / 2);
    format!("{}\n[{} bytes left out]\n{}", &text[..head], tail - head, &text[tail..])
}

/// The text with everything that a terminal would obey made visible.
fn visible(text: &str) -> String {
    let show =
        |c: char| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

fn shown(argv: &[String]) -> String {
    argv.iter().map(|word| shown_word(word)).collect::<Vec<_>>().join(" ")
}

fn shown_word(word: &str) -> String {
    super::quote(&["x", word]).map_or_else(|_| format!("{word:?}"), |line| line["'x' ".len()..].to_owned())
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// A transport whose every use is logged.
pub struct Logged {
    inner: Arc<dyn Transport>,
    log: Arc<CommandLog>,
}

impl Logged {
    /// Logs what goes through this transport.
    pub fn new(inner: Arc<dyn Transport>, log: Arc<CommandLog>) -> Self {
        Self { inner, log }
    }

    fn done(&self, command: &Command, verb: &str, result: &Result<Output, TransportError>) {
        let user = if command.privileged { "#" } else { "$" };
        let headline = format!("{verb} {user} {}", shown(&command.argv));
        let input = Block::Stream("stdin", &command.stdin, command.secrecy);
        match result {
            Ok(output) => {
                let end = format!("{} after {}", output.status, seconds(output.duration));
                let stdout = Block::Stream("stdout", &output.stdout, command.secrecy);
                let stderr = Block::Stream("stderr", &output.stderr, command.secrecy);
                self.log.write(self.node(), &headline, &[Block::Line(end), input, stdout, stderr]);
            }
            Err(error) => {
                self.log.write(self.node(), &headline, &[Block::Line(format!("failed: {error}")), input])
            }
        }
    }

    fn told<T>(&self, what: &str, result: &Result<T, TransportError>, success: impl FnOnce(&T) -> String) {
        let end = match result {
            Ok(value) => success(value),
            Err(error) => format!("failed: {error}"),
        };
        self.log.write(self.node(), what, &[Block::Line(end)]);
    }
}

#[async_trait]
impl Transport for Logged {
    fn node(&self) -> &NodeName {
        self.inner.node()
    }

    async fn connect(&self) -> Result<(), TransportError> {
        let result = self.inner.connect().await;
        if result.is_err() {
            self.told("connect", &result, |()| String::new());
        }
        result
    }

    async fn exec(&self, command: &Command) -> Result<Output, TransportError> {
        let result = self.inner.exec(command).await;
        self.done(command, "run", &result);
        result
    }

    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        let result = self.inner.read(path).await;
        self.told(&format!("read {}", shown_word(path.as_str())), &result, |content| match content {
            Some(content) => format!("{} bytes", content.len()),
            None => "there is no such file".to_owned(),
        });
        result
    }

    async fn replace(&self, file: &FileImage) -> Result<(), TransportError> {
        let result = self.inner.replace(file).await;
        let what = format!(
            "replace {} mode {:04o} owner {}:{}",
            shown_word(file.path.as_str()),
            file.mode,
            file.owner,
            file.group
        );
        let end = match &result {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        self.log.write(
            self.node(),
            &what,
            &[Block::Line(end), Block::Stream("content", &file.content, file.secrecy)],
        );
        result
    }

    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError> {
        let result = self.inner.open(command).await;
        self.told(&format!("open {}", shown(&command.argv)), &result, |_| "opened".to_owned());
        let session = LoggedSession {
            inner: result?,
            command: command.clone(),
            logged: Self { inner: self.inner.clone(), log: self.log.clone() },
        };
        Ok(Box::new(session))
    }
}

/// A session whose end is logged; its lines are its reader's business.
struct LoggedSession {
    inner: Box<dyn Session>,
    command: Command,
    logged: Logged,
}

#[async_trait]
impl Session for LoggedSession {
    async fn line(&mut self) -> Result<Option<String>, TransportError> {
        self.inner.line().await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.inner.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<Output, TransportError> {
        let result = self.inner.finish().await;
        self.logged.done(&self.command, "finish", &result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{LocalTransport, Sudo};

    fn logged() -> (tempfile::TempDir, Arc<CommandLog>, Logged) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("log")).unwrap();
        let log = Arc::new(CommandLog::open(&path).unwrap());
        let local = LocalTransport::new(NodeName::new("alpha").unwrap(), Sudo::No);
        (folder, log.clone(), Logged::new(Arc::new(local), log))
    }

    fn sh(script: &str) -> Command {
        Command::new(["sh", "-c", script]).unprivileged()
    }

    fn text(log: &CommandLog) -> String {
        std::fs::read_to_string(log.path()).unwrap()
    }

    #[tokio::test]
    async fn an_entry_tells_what_ran_and_what_came_back() {
        let (_folder, log, node) = logged();
        node.exec(&sh("echo out; printf 'a\\033[2Jb' >&2; exit 3")).await.unwrap();
        let text = text(&log);
        assert!(text.contains(" #1 alpha: run $ sh -c 'echo out;"), "{text}");
        assert!(text.contains("    exit code 3 after 0."), "{text}");
        assert!(
            text.contains("    stdout: 4 bytes\n    | out\n") && text.contains("| a\\u{1b}[2Jb"),
            "{text}"
        );
        assert_eq!(log.failure(), None);
    }

    #[tokio::test]
    async fn secrets_are_masked_everywhere() {
        let (_folder, log, node) = logged();
        log.mask(&SecretString::from("hunter22\nsecond-line\n".to_owned()));
        node.exec(&sh("echo hunter22; echo second-line >&2; cat").stdin("hunter22")).await.unwrap();
        node.exec(&Command::new(["hunter22-program"]).unprivileged()).await.unwrap_err();
        node.exec(&sh("echo unknown-secret; cat").stdin("unknown-input").secret()).await.unwrap();
        let text = text(&log);
        assert!(!text.contains("hunter22") && !text.contains("second-line"), "{text}");
        assert!(text.contains("| <secret>") && text.contains("stdout: 28 bytes, secret"), "{text}");
        assert!(!text.contains("unknown-input"), "{text}");
    }

    #[tokio::test]
    async fn long_output_is_cut_in_the_middle() {
        let (_folder, log, node) = logged();
        node.exec(&sh("seq 1 100000; echo the end")).await.unwrap();
        let text = text(&log);
        assert!(text.len() < 3 * MAX_STREAM_BYTES && text.contains("bytes left out]"), "{}", text.len());
        assert!(text.contains("    | 1\n") && text.contains("    | the end\n"));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told() {
        let log = CommandLog::open(Utf8Path::new("/dev/full")).unwrap();
        log.write(&NodeName::new("alpha").unwrap(), "x", &[]);
        assert!(log.failure().unwrap().contains("No space left"));
    }
}
