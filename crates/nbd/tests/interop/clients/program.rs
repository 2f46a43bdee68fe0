//! Running a client.

use std::process::{Command, Output};

/// After so many seconds a client counts as hung.
const LIMIT_SECONDS: &str = "120";

/// Runs a program to its end, at most [`LIMIT_SECONDS`], with Debian's own programs first in the path (libnbd's shell
/// runs whatever `python3` it finds).
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let path = format!("/usr/bin:/bin:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("timeout")
        .args([LIMIT_SECONDS, program])
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(124), "{program} {arguments:?} did not end");
    output
}

/// Runs a program that must succeed; what it wrote to stdout.
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} ended with {}\n{out}{err}", output.status);
    out.into_owned()
}
