//! Commands that a measurement runs: their output kept, and told when they fail. Shared by the benches.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Lines of a failed command's output that are told.
const TAIL_LINES: usize = 15;

/// Runs a command that must end with one of these exit codes, its output kept.
///
/// # Errors
/// It cannot be started or ends otherwise; with the end of what it said.
pub(crate) fn run_for(command: &mut Command, codes: &[i32]) -> Result<Output> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    if output.status.code().is_some_and(|code| codes.contains(&code)) {
        return Ok(output);
    }
    let said =
        [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat();
    let tail: Vec<&str> = said.lines().rev().take(TAIL_LINES).collect();
    bail!(
        "{command:?} ended with {}: {}",
        output.status,
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}

/// Runs a command that must exit with 0.
///
/// # Errors
/// As [`run_for`].
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    run_for(command, &[0])
}

/// What a command that must exit with 0 printed.
///
/// # Errors
/// As [`run_for`], and when it is not UTF-8.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("{command:?} printed something that is not text"))
}
