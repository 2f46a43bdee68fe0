//! The two programs that open devices say the same, and go on after what cannot be opened.

use std::process::Command;

use super::content::{PERL, PYTHON};

/// What cannot be a disk, in three ways.
const NODES: [&str; 4] = ["/dev/hactl-absent", "/dev/null", "/proc", "/dev/hactl-absent/below"];

/// What a program says of these, without who has which device open, which changes all the time.
fn said(interpreter: &[&str], program: &str) -> Vec<String> {
    let mut words = vec!["-c", "exec \"$@\" 4>&2", "sh"];
    words.extend(interpreter);
    words.push(program);
    words.extend(NODES);
    let output = Command::new("sh").args(&words).env("LC_ALL", "C").output().expect("sh runs");
    let opened = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && opened.is_empty(), "{}: {opened}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter(|line| !line.starts_with("user\t") && !line.starts_with("blind\t"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn perl_and_python_say_the_same_of_what_is_no_disk() {
    let expected = [
        "fail\t/dev/hactl-absent\tNo such file or directory",
        "fail\t/dev/null\tit is not a block device",
        "fail\t/proc\tit is not a block device",
        "fail\t/dev/hactl-absent/below\tNo such file or directory",
        "end",
    ];
    assert_eq!(said(&["perl", "-e"], PERL), expected);
    assert_eq!(said(&["python3", "-c"], PYTHON), expected);
}
