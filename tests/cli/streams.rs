//! Colours and streams: a terminal gets colours, a pipe and those who ask for plain text do not.

use std::io::Read as _;
use std::process::Stdio;

use super::executable::{ended, hactl, on_a_terminal, run};

const ESCAPE: char = '\u{1b}';

#[test]
fn a_pipe_gets_plain_text() {
    assert!(!run(&["--help"]).stdout.contains(ESCAPE));
    assert!(!run(&["conquer"]).stderr.contains(ESCAPE));
}

#[test]
fn a_terminal_gets_colours_unless_plain_text_is_wanted() {
    let Some(colourful) = on_a_terminal(&["--help"], &[]) else { return };
    assert!(colourful.contains(ESCAPE), "{colourful}");
    for plain in [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")] {
        let shown = on_a_terminal(&["--help"], &[plain]).expect("script(1) was there a moment ago");
        assert!(shown.contains("Usage") && !shown.contains(ESCAPE), "{plain:?}: {shown}");
    }
}

#[test]
fn the_flag_decides_about_the_colour_of_errors() {
    let failing = ["man", "-o", "/proc/no/such/folder", "--color"];
    let with = |choice| run(&[&failing[..], &[choice]].concat()).stderr;
    assert!(with("always").contains(ESCAPE));
    assert!(!with("never").contains(ESCAPE));
    assert!(!with("auto").contains(ESCAPE));
}

#[test]
fn an_empty_no_color_does_not_count() {
    // no-color.org: "when present and not an empty string".
    let Some(shown) = on_a_terminal(&["--help"], &[("NO_COLOR", "")]) else { return };
    assert!(shown.contains(ESCAPE), "{shown}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = hactl(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the executable can be started");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn a_full_disk_behind_stdout_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut command = hactl(&["completions", "bash"]);
    let ran = ended(command.stdout(Stdio::from(full)));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("cannot write to stdout"), "{}", ran.stderr);
}
