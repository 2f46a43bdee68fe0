//! QEMU's control socket (docs/interop/qmp-spec: one JSON document per line).
//!
//! In: a socket, commands. Out: answers within a time limit. Events are passed over. A machine serves one client at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::error::LabError;

/// Longest wait for a line, also while another client is served.
const LINE_LIMIT: Duration = Duration::from_secs(20);
/// Longest line.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// Most events passed over before an answer.
const MAX_EVENTS: usize = 1000;

/// A connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Qmp {
    /// Connects and asks for command mode.
    pub(crate) fn connect(path: &Path) -> Result<Self, LabError> {
        Self::connect_within(path, LINE_LIMIT)
    }

    /// Connects, with this much time for each line.
    pub(crate) fn connect_within(path: &Path, line_limit: Duration) -> Result<Self, LabError> {
        let failed =
            |error: io::Error| LabError::Emulator { path: path.to_path_buf(), reason: error.to_string() };
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(line_limit)).map_err(failed)?;
        stream.set_write_timeout(Some(line_limit)).map_err(failed)?;
        let mut qmp = Self { stream: BufReader::new(stream), path: path.to_path_buf() };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            return Err(qmp.error(format!("it greeted with {greeting}")));
        }
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Carries out a command without arguments; its answer.
    pub(crate) fn execute(&mut self, command: &str) -> Result<Value, LabError> {
        self.ask(command, &json!({ "execute": command }))
    }

    /// Carries out a command; its answer.
    pub(crate) fn execute_with(&mut self, command: &str, arguments: &Value) -> Result<Value, LabError> {
        self.ask(command, &json!({ "execute": command, "arguments": arguments }))
    }

    fn ask(&mut self, command: &str, question: &Value) -> Result<Value, LabError> {
        let line = format!("{question}\n");
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|error| self.error(error.to_string()))?;
        for _ in 0..MAX_EVENTS {
            let mut answer = self.line()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let text = error["desc"].as_str().unwrap_or("without a reason");
                return Err(self.error(format!("it refused `{command}`: {text}")));
            }
        }
        Err(self.error(format!("it did not answer `{command}`")))
    }

    fn line(&mut self) -> Result<Value, LabError> {
        let mut line = String::new();
        let read = (&mut self.stream).take(MAX_LINE_BYTES).read_line(&mut line);
        match read {
            Ok(0) => Err(self.error("it closed the connection".to_owned())),
            Ok(_) => serde_json::from_str(&line).map_err(|error| self.error(format!("{error} in `{line}`"))),
            Err(error) => Err(self.error(error.to_string())),
        }
    }

    fn error(&self, reason: String) -> LabError {
        LabError::Emulator { path: self.path.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A QEMU that says these lines, each after the first when it was asked something.
    fn serve(dir: &Path, lines: Vec<&'static str>) -> PathBuf {
        let path = dir.join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = String::new();
            for (number, line) in lines.iter().enumerate() {
                if number > 0 {
                    reader.read_line(&mut asked).unwrap();
                }
                (&stream).write_all(line.as_bytes()).unwrap();
            }
        });
        path
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

    #[test]
    fn events_before_an_answer_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let answer = "{\"event\": \"STOP\"}\r\n{\"return\": {\"status\": \"paused\"}}\r\n";
        let path = serve(dir.path(), vec![GREETING, "{\"return\": {}}\r\n", answer]);
        let status = Qmp::connect(&path).unwrap().execute("query-status").unwrap();
        assert_eq!(status["status"], "paused");
    }

    #[test]
    fn arguments_are_sent_with_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let asked = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = Vec::new();
            for answer in [GREETING, "{\"return\": {}}\r\n", "{\"return\": {}}\r\n"] {
                (&stream).write_all(answer.as_bytes()).unwrap();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                asked.push(line);
            }
            asked
        });
        let mut qmp = Qmp::connect(&path).unwrap();
        qmp.execute_with("block_resize", &json!({ "node-name": "disk-data1", "size": 1 })).unwrap();
        drop(qmp);
        let asked: Value = serde_json::from_str(&asked.join().unwrap()[1]).unwrap();
        assert_eq!(asked["execute"], "block_resize");
        assert_eq!(asked["arguments"], json!({ "node-name": "disk-data1", "size": 1 }));
    }

    #[test]
    fn a_refusal_and_a_lost_machine_are_errors_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}\r\n";
        let path = serve(dir.path(), vec![GREETING, "{\"return\": {}}\r\n", refusal]);
        let mut qmp = Qmp::connect(&path).unwrap();
        assert!(qmp.execute("nonsense").unwrap_err().to_string().contains("no such thing"));
        assert!(qmp.execute("stop").is_err());
        assert!(Qmp::connect(&dir.path().join("nobody")).is_err());
    }
}
