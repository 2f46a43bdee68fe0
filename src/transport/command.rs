//! What is run on a node, and what came back.
//!
//! In: an argument vector and standard input. Out: the values that a transport carries. Never runs anything.

use std::time::Duration;

use bytes::Bytes;
use camino::Utf8PathBuf;

/// Most bytes of one stream (stdout or stderr) that a command may return.
pub const DEFAULT_OUTPUT_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How long one command may take unless it says otherwise.
pub const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Words and characters of a command that name it in a message.
const TITLE_WORDS: usize = 3;
const TITLE_CHARS: usize = 60;

/// Whether what goes through a command may be written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Input and output may be logged.
    Open,
    /// Input and output carry a secret: the log gets their sizes only.
    Secret,
}

/// One command to run on a node: an argument vector, never a line for a shell.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// What the program reads; empty means end of file at once.
    pub stdin: Bytes,
    /// Run as root (through sudo when the login is not root).
    pub privileged: bool,
    /// Longest time from the request to the exit status.
    pub timeout: Duration,
    /// Most bytes of stdout, and of stderr; more is an error.
    pub output_limit_bytes: usize,
    /// Whether stdin and stdout may be logged.
    pub secrecy: Secrecy,
    /// How many words at the beginning of `argv` only surround the command.
    wrapping_words: usize,
}

impl Command {
    /// A privileged command with the default limits and no input.
    pub fn new<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Bytes::new(),
            privileged: true,
            timeout: DEFAULT_COMMAND_TIMEOUT,
            output_limit_bytes: DEFAULT_OUTPUT_LIMIT_BYTES,
            secrecy: Secrecy::Open,
            wrapping_words: 0,
        }
    }

    /// The command's first words, for messages; of a secret one, the program only.
    #[must_use]
    pub fn title(&self) -> String {
        let words = if self.secrecy == Secrecy::Secret { 1 } else { TITLE_WORDS };
        let own = &self.argv[self.wrapping_words.min(self.argv.len())..];
        let text = own.iter().take(words).map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut title: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TITLE_CHARS).collect();
        if title.len() < text.len() || own.len() > words {
            title.push('…');
        }
        title
    }

    /// The same command, run by another program that these words begin; messages go on naming the command itself.
    #[must_use]
    pub fn wrapped<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let own = self.argv.len();
        let argv: Vec<String> = words.into_iter().map(Into::into).chain(self.argv).collect();
        self.wrapping_words += argv.len() - own;
        self.argv = argv;
        self
    }

    /// The same command with this input.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The same command with this time limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same command with this limit on stdout and on stderr, in bytes.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit_bytes = bytes;
        self
    }

    /// The same command, run as the login user.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.privileged = false;
        self
    }

    /// The same command, its input and output kept out of the log.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secrecy = Secrecy::Secret;
        self
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("argv", &self.argv)
            .field("stdin_bytes", &self.stdin.len())
            .field("privileged", &self.privileged)
            .field("timeout", &self.timeout)
            .field("secrecy", &self.secrecy)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(u32),
    /// A signal ended it (name without `SIG`).
    Signal(String),
}

impl ExitStatus {
    /// Whether it exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}

/// What a command printed and how it ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout; not necessarily UTF-8.
    pub stdout: Bytes,
    /// What it wrote to stderr.
    pub stderr: Bytes,
    /// From the request to the exit status.
    pub duration: Duration,
}

impl Output {
    /// stdout as text, invalid bytes replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text, invalid bytes replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("status", &self.status)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .field("duration", &self.duration)
            .finish()
    }
}

/// A whole file to put in place atomically.
#[derive(Clone, PartialEq, Eq)]
pub struct FileImage {
    /// Absolute path.
    pub path: Utf8PathBuf,
    /// The whole content.
    pub content: Bytes,
    /// Permission bits, for example `0o644`.
    pub mode: u32,
    /// Owner's name.
    pub owner: String,
    /// Group's name.
    pub group: String,
    /// Whether the content may be logged.
    pub secrecy: Secrecy,
}

impl std::fmt::Debug for FileImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileImage")
            .field("path", &self.path)
            .field("content_bytes", &self.content.len())
            .field("mode", &format_args!("{:04o}", self.mode))
            .field("owner", &self.owner)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
