//! hactl on a terminal: the plan is shown, a person thinks about it, and the answer comes later.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::TestLab;

/// Longest time until the question is asked, and until the run ends.
const LIMIT: Duration = Duration::from_secs(180);
/// How the question ends.
const QUESTION: &str = "[y/N]";

/// A run that has asked its question. `script` (util-linux) gives it its terminal.
pub(crate) struct Asked {
    child: Child,
    screen: String,
}

impl Asked {
    /// Starts it and waits for the question.
    #[track_caller]
    pub(crate) fn start(lab: &TestLab, verb: &str) -> Self {
        let command = lab.command(verb, &[]);
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
            .collect();
        let child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &words.join(" "), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (bsdutils) is installed");
        let mut asked = Self { child, screen: String::new() };
        let deadline = Instant::now() + LIMIT;
        while !asked.screen.contains(QUESTION) {
            assert!(
                asked.read() && Instant::now() < deadline,
                "no question on the screen:\n{}",
                asked.screen
            );
        }
        asked
    }

    /// Answers; its exit code and the screen.
    pub(crate) fn answer(mut self, answer: &str) -> (Option<i32>, String) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe");
        stdin.write_all(answer.as_bytes()).and_then(|()| stdin.flush()).expect("it reads the answer");
        while self.read() {}
        let code = self.child.wait().expect("it can be waited for").code();
        (code, std::mem::take(&mut self.screen))
    }

    /// Adds what comes next to the screen; false at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0_u8; 4096];
        let stdout = self.child.stdout.as_mut().expect("stdout is a pipe");
        match stdout.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.screen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
