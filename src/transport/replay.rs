//! A transport that answers from a recording: for testing everything above it without a node.
//!
//! In: argument vectors with their outputs, and files. Out: those outputs; files that were replaced are read
//! back as replaced. A command that was not recorded is an error, never an empty answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Command, ExitStatus, FileImage, Output, Session, Transport, TransportError};
use crate::names::NodeName;

/// One recorded command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Program and arguments; all must be equal.
    pub argv: Vec<String>,
    /// What it must be given on stdin; anything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How it exited.
    #[serde(default)]
    pub exit_code: u32,
    /// What it printed.
    #[serde(default)]
    pub stdout: String,
    /// What it printed on stderr.
    #[serde(default)]
    pub stderr: String,
}

impl Recorded {
    /// A command that exits with 0 and prints this.
    pub fn new<I, S>(argv: I, stdout: impl Into<String>) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: None,
            exit_code: 0,
            stdout: stdout.into(),
            stderr: String::new(),
        }
    }

    /// The same command with this exit code.
    #[must_use]
    pub fn exit_code(mut self, code: u32) -> Self {
        self.exit_code = code;
        self
    }

    fn answers(&self, command: &Command) -> bool {
        let same_input = self.stdin.as_ref().is_none_or(|stdin| stdin.as_bytes() == command.stdin);
        self.argv == command.argv && same_input
    }

    fn output(&self) -> Output {
        Output {
            status: ExitStatus::Code(self.exit_code),
            stdout: Bytes::from(self.stdout.clone()),
            stderr: Bytes::from(self.stderr.clone()),
            duration: Duration::ZERO,
        }
    }
}

/// A node that exists in a recording only.
pub struct ReplayTransport {
    node: NodeName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    recorded: Vec<Recorded>,
    files: BTreeMap<Utf8PathBuf, Bytes>,
    calls: Vec<Command>,
    failures: VecDeque<TransportError>,
}

impl ReplayTransport {
    /// A node of this name with nothing recorded.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self { node, state: Mutex::default() }
    }

    /// The same node with this recording. A command that is recorded several times is answered in that
    /// order, and the last answer is repeated.
    #[must_use]
    pub fn with(self, recorded: impl IntoIterator<Item = Recorded>) -> Self {
        self.state().recorded.extend(recorded);
        self
    }

    /// The same node with this file.
    #[must_use]
    pub fn with_file(self, path: impl Into<Utf8PathBuf>, content: impl Into<Bytes>) -> Self {
        self.state().files.insert(path.into(), content.into());
        self
    }

    /// The same node, its next uses failing with these errors, in order.
    #[must_use]
    pub fn failing(self, errors: impl IntoIterator<Item = TransportError>) -> Self {
        self.state().failures.extend(errors);
        self
    }

    /// Every command that was run so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Command> {
        self.state().calls.clone()
    }

    /// The files as they are now.
    #[must_use]
    pub fn files(&self) -> BTreeMap<Utf8PathBuf, Bytes> {
        self.state().files.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change is one insertion: a panic elsewhere leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_if_told(&self) -> Result<(), TransportError> {
        self.state().failures.pop_front().map_or(Ok(()), Err)
    }

    fn answer(&self, command: &Command) -> Result<Output, TransportError> {
        self.fail_if_told()?;
        let mut state = self.state();
        state.calls.push(command.clone());
        let matching: Vec<usize> =
            (0..state.recorded.len()).filter(|&i| state.recorded[i].answers(command)).collect();
        match matching.as_slice() {
            [] => Err(TransportError::Failed {
                node: self.node.clone(),
                attempted: format!("replay {:?}", command.argv),
                reason: "this command was not recorded".to_owned(),
            }),
            [only] => Ok(state.recorded[*only].output()),
            [first, ..] => Ok(state.recorded.remove(*first).output()),
        }
    }
}

#[async_trait]
impl Transport for ReplayTransport {
    fn node(&self) -> &NodeName {
        &self.node
    }

    async fn connect(&self) -> Result<(), TransportError> {
        self.fail_if_told()
    }

    async fn exec(&self, command: &Command) -> Result<Output, TransportError> {
        self.answer(command)
    }

    async fn read(&self, path: &Utf8Path) -> Result<Option<Bytes>, TransportError> {
        self.fail_if_told()?;
        Ok(self.state().files.get(path).cloned())
    }

    async fn replace(&self, file: &FileImage) -> Result<(), TransportError> {
        self.fail_if_told()?;
        self.state().files.insert(file.path.clone(), file.content.clone());
        Ok(())
    }

    async fn open(&self, command: &Command) -> Result<Box<dyn Session>, TransportError> {
        let mut output = self.answer(command)?;
        let lines = output.stdout_text().lines().map(str::to_owned).collect();
        output.stdout = Bytes::new();
        Ok(Box::new(ReplaySession { lines, output }))
    }
}

struct ReplaySession {
    lines: VecDeque<String>,
    output: Output,
}

#[async_trait]
impl Session for ReplaySession {
    async fn line(&mut self) -> Result<Option<String>, TransportError> {
        Ok(self.lines.pop_front())
    }

    async fn write(&mut self, _: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Output, TransportError> {
        let rest = self.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        Ok(Output { stdout: rest.into(), ..self.output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_in_order_and_refuses_what_it_does_not_know() {
        let node = ReplayTransport::new(NodeName::new("alpha").unwrap())
            .with([Recorded::new(["state"], "one"), Recorded::new(["state"], "two").exit_code(1)]);
        let state = Command::new(["state"]);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let output = node.exec(&state).await.unwrap();
            seen.push((output.stdout_text(), output.status));
        }
        let two = ("two".to_owned(), ExitStatus::Code(1));
        assert_eq!(seen, [("one".to_owned(), ExitStatus::Code(0)), two.clone(), two]);
        assert!(node.exec(&Command::new(["other"])).await.unwrap_err().to_string().contains("not recorded"));
        assert_eq!(node.calls().len(), 4);
    }

    #[tokio::test]
    async fn files_are_read_back_as_replaced() {
        let node = ReplayTransport::new(NodeName::new("alpha").unwrap()).with_file("/etc/a", "old");
        let file = FileImage {
            path: "/etc/a".into(),
            content: "new".into(),
            mode: 0o644,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            secrecy: crate::transport::Secrecy::Open,
        };
        node.replace(&file).await.unwrap();
        assert_eq!(node.read(Utf8Path::new("/etc/a")).await.unwrap().unwrap(), "new");
        assert_eq!(node.read(Utf8Path::new("/etc/b")).await.unwrap(), None);
    }

    #[test]
    fn a_recording_can_be_a_file() {
        let text = r#"[{"argv": ["uname", "-n"], "stdout": "alpha\n"}]"#;
        let recorded: Vec<Recorded> = serde_json::from_str(text).unwrap();
        assert_eq!(recorded, [Recorded::new(["uname", "-n"], "alpha\n")]);
    }
}
