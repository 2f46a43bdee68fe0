//! `hactl status --watch`: one document per line, or a screen that refreshes; it ends with Ctrl-C.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Program, RUN_LIMIT};
use crate::setting::{INTERRUPTED, Setting};

/// Longest time until a change of the cluster is seen.
const SEEN_LIMIT: Duration = Duration::from_secs(180);
/// Moves the cursor to the first line and empties the screen below it.
const HOME_AND_CLEAR: &str = "\u{1b}[H\u{1b}[J";
/// What Ctrl-C sends from a terminal.
const CTRL_C: &[u8] = b"\x03";

pub(crate) fn status_is_watched(setting: &mut Setting) {
    setting.prepare(&setting.apply());
    by_a_program(setting);
    on_a_terminal(setting);
    reader_that_goes_away(setting);
}

/// A node that loses its power and gets it back by fencing is seen, and the watch goes on.
fn by_a_program(setting: &Setting) {
    // The lines of stderr can be looked at while the program runs: so stdout goes there.
    let mut command = through_a_shell(setting, "exec \"$0\" \"$@\" 1>&2");
    let mut watch = Program::start(command.args(["--json", "--interval", "200ms"]));
    let mut seen = |what: &str, matches: &dyn Fn(&Value) -> bool| {
        let line = watch.line_that(SEEN_LIMIT, |line| {
            let document: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(document["format"], 1, "{line}");
            matches(&document)
        });
        assert!(line.is_some(), "the watch ended before {what}");
    };
    let gamma = |document: &Value| {
        let nodes = document["clusters"][0]["nodes"].as_array().cloned().unwrap_or_default();
        assert_eq!(nodes.len(), 3, "{document}");
        nodes.into_iter().find(|node| node["name"] == "gamma").expect("gamma is told of")
    };
    let online = |document: &Value| {
        let node = gamma(document);
        node["unreachable"].is_null() && node["state"] == "online"
    };
    seen("gamma was online", &online);
    setting.lab.fault(&["power-cut", "gamma"]);
    seen("gamma could not be reached", &|document| gamma(document)["unreachable"].is_string());
    // The cluster fences it, which switches it on. Switched on before, it would be reset under the tests that follow.
    seen("gamma was back", &online);
    watch.interrupt();
    watch.finish(RUN_LIMIT).expect(INTERRUPTED);
    setting.lab.say(
        "status --watch --json: a node that went and came back, each look a line; Ctrl-C ends it with 130",
    );
}

/// On a terminal of its own, which `script` makes; Ctrl-C is typed there.
fn on_a_terminal(setting: &Setting) {
    let words = status(setting);
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &format!("{line} --interval 200ms"), "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("CI")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let (mut screen, mut part) = (String::new(), [0; 4096]);
    let stdout = child.stdout.as_mut().expect("a pipe");
    while screen.matches(HOME_AND_CLEAR).count() < 3 {
        let count = stdout.read(&mut part).expect("the screen");
        assert!(count > 0, "it ended before Ctrl-C:\n{screen}");
        screen.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    child.stdin.as_mut().expect("a pipe").write_all(CTRL_C).expect("the terminal listens");
    std::io::copy(stdout, &mut std::io::sink()).expect("the rest of the screen");
    assert_eq!(child.wait().expect("it ends").code(), Some(INTERRUPTED), "{screen}");
    for what in [setting.lab.name(), "alpha", "beta", "gamma", "web-ip"] {
        assert!(screen.contains(what), "`{what}` was to be on the screen\n{screen}");
    }
    setting.lab.say("status --watch on a terminal: refreshes in place; Ctrl-C ends it with 130");
}

/// `hactl status --watch | head -n 1` ends.
fn reader_that_goes_away(setting: &Setting) {
    let mut command = through_a_shell(setting, "\"$0\" \"$@\" | head -n 1 >/dev/null");
    Program::start(command.args(["--json", "--interval", "200ms"])).finish(RUN_LIMIT).expect(0);
}

/// `hactl status --watch` with the inventory.
fn status(setting: &Setting) -> Vec<String> {
    let command = setting.lab.command("status", &["--watch"]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_str().expect("UTF-8").to_owned()).collect()
}

/// The same by a line of shell, as `"$0" "$@"`.
fn through_a_shell(setting: &Setting, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).args(status(setting)).env("NO_COLOR", "1");
    command
}
