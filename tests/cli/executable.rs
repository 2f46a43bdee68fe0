//! Runs the executable in surroundings of the test's own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the environment may hold that changes how hactl looks.
const LOOKS: [&str; 6] = ["NO_COLOR", "CI", "TERM", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"];

/// The executable with these arguments, nothing on stdin, and none of the variables that change its looks.
pub(crate) fn hactl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command.args(arguments).stdin(Stdio::null());
    for name in LOOKS {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color");
    command
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    ended(&mut hactl(arguments))
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ran {
    command.output().expect("the executable can be started").into()
}

/// Runs it on a terminal of its own (script(1) of util-linux makes one) and returns what the terminal got; `None`
/// where there is no script(1).
pub(crate) fn on_a_terminal(arguments: &[&str], environment: &[(&str, &str)]) -> Option<String> {
    if !Path::new("/usr/bin/script").exists() {
        eprintln!("skipped: script(1) is not installed");
        return None;
    }
    let line = shlex::try_join(std::iter::once(env!("CARGO_BIN_EXE_hactl")).chain(arguments.iter().copied()));
    let mut command = Command::new("/usr/bin/script");
    command.args(["--quiet", "--return", "--command", &line.expect("no NUL in the arguments"), "/dev/null"]);
    command.stdin(Stdio::null());
    for name in LOOKS {
        command.env_remove(name);
    }
    command.env("TERM", "xterm-256color").envs(environment.iter().copied());
    Some(ended(&mut command).stdout)
}
