//! Running commands: arguments, streams, limits, signals, many at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hactl::transport::{Command, ExitStatus, Transport, TransportError};

use crate::support::{Host, Wish, script};

#[tokio::test]
async fn arguments_streams_and_exit_code_arrive_as_they_are() {
    let host = Host::start();
    let node = host.connect();
    let argv =
        ["sh", "-c", "printf '<%s>' \"$@\"; echo oops >&2; exit 7", "x", "a b", "", "it's", "$HOME", "é\n*"];
    let output = node.exec(&Command::new(argv)).await.unwrap();
    assert_eq!(output.stdout_text(), "<a b><><it's><$HOME><é\n*>");
    assert_eq!((output.stderr_text().as_str(), output.status), ("oops\n", ExitStatus::Code(7)));
    let missing = node.exec(&Command::new(["no-such-program"])).await.unwrap();
    assert_eq!(missing.status, ExitStatus::Code(127));
}

#[tokio::test]
async fn one_connection_serves_the_whole_run() {
    let host = Host::start();
    let node = host.connect();
    assert_eq!(host.connections(), 0, "nothing is opened before it is needed");
    for _ in 0..3 {
        node.exec(&Command::new(["true"])).await.unwrap();
    }
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn the_locale_is_one_that_programs_can_read() {
    let host = Host::start();
    let output = host.connect().exec(&script("echo $LC_ALL; ls /nonexistent")).await.unwrap();
    assert_eq!(output.stdout_text(), "C.UTF-8\n");
    assert!(output.stderr_text().contains("No such file or directory"));
}

#[tokio::test]
async fn bytes_that_are_no_text_survive() {
    let host = Host::start();
    let all: Vec<u8> = (0..=255).collect();
    let output = host.connect().exec(&Command::new(["cat"]).stdin(all.clone())).await.unwrap();
    assert_eq!(output.stdout, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_input_and_output_pass_each_other() {
    let host = Host::start();
    let large: Bytes = (0..12 * 1024 * 1024_u32).map(|i| (i >> 7) as u8).collect::<Vec<_>>().into();
    let output = host.connect().exec(&Command::new(["cat"]).stdin(large.clone())).await.unwrap();
    assert!(output.stdout == large, "{} of {} bytes", output.stdout.len(), large.len());
}

#[tokio::test]
async fn input_that_is_not_read_does_not_hold_up_the_end() {
    let host = Host::start();
    let large = Bytes::from(vec![b'x'; 12 * 1024 * 1024]);
    let output = host.connect().exec(&Command::new(["true"]).stdin(large)).await.unwrap();
    assert_eq!(output.status, ExitStatus::Code(0));
}

#[tokio::test]
async fn too_much_output_is_an_error_and_the_connection_goes_on() {
    let host = Host::start();
    let node = host.connect();
    let error = node.exec(&Command::new(["yes"]).output_limit(100_000)).await.unwrap_err();
    assert!(matches!(error, TransportError::TooMuchOutput { limit_bytes: 100_000, .. }), "{error}");
    let error = node.exec(&script("yes >&2").output_limit(100_000)).await.unwrap_err();
    assert!(matches!(error, TransportError::TooMuchOutput { .. }), "{error}");
    assert!(node.exec(&Command::new(["true"])).await.unwrap().status.success());
    assert_eq!(host.connections(), 1);
}

/// Whether a process is there and not merely waiting to be reaped.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_slow_command_is_ended_with_all_it_started() {
    let host = Host::start();
    let node = host.connect();
    let pid_file = host.folder.join("pids");
    let text = format!("trap '' TERM; sleep 600 & echo $$ $! > {pid_file}; wait; sleep 600");
    let error = node.exec(&script(&text).timeout(Duration::from_millis(500))).await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Timeout { command, .. } if command.starts_with("sh -c")),
        "{error}"
    );
    let pids = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        assert!(!runs(pid), "process {pid} still runs");
    }
    assert!(node.exec(&Command::new(["true"])).await.unwrap().status.success());
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_ended_too() {
    let host = Host::start();
    let node = host.connect();
    let pid_file = host.folder.join("pid");
    let command = script(&format!("echo $$ > {pid_file}; exec sleep 600"));
    let started = async {
        while std::fs::read_to_string(&pid_file).map_or(true, |pid| !pid.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        result = node.exec(&command) => panic!("{result:?}"),
        () = started => {}
    }
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    while runs(pid.trim()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_exit_by_signal_is_told_as_such() {
    let host = Host::start();
    let node = host.connect();
    for signal in ["KILL", "TERM", "SEGV"] {
        let output = node.exec(&script(&format!("kill -{signal} $$"))).await.unwrap();
        assert_eq!(output.status, ExitStatus::Signal(signal.to_owned()));
    }
}

async fn run_many(host: &Host) {
    let node = Arc::new(host.connect());
    let run = |number: usize| {
        let node = node.clone();
        async move {
            node.exec(&Command::new(["echo".to_owned(), number.to_string()])).await.unwrap().stdout_text()
        }
    };
    let results = futures::future::join_all((0..60).map(run)).await;
    for (number, text) in results.into_iter().enumerate() {
        assert_eq!(text, format!("{number}\n"));
    }
    assert_eq!(host.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_share_a_connection() {
    run_many(&Host::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_queue_where_the_server_allows_few_at_once() {
    for config in ["MaxSessions 1", "MaxSessions 3"] {
        run_many(&Host::with(Wish { config: config.to_owned(), ..Wish::default() })).await;
    }
}

#[tokio::test]
async fn a_command_line_that_linux_would_not_take_is_refused_before_it_is_sent() {
    let host = Host::start();
    let error =
        host.connect().exec(&Command::new(["true".to_owned(), "x".repeat(200_000)])).await.unwrap_err();
    assert!(error.to_string().contains("stdin"), "{error}");
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn a_session_keeps_both_ends_open() {
    let host = Host::start();
    let node = host.connect();
    let mut session = node
        .open(&script("while read x; do echo got $x; done; echo bye; echo err >&2; exit 3"))
        .await
        .unwrap();
    for word in ["one", "two"] {
        session.write(Bytes::from(format!("{word}\n"))).await.unwrap();
        assert_eq!(session.line().await.unwrap(), Some(format!("got {word}")));
    }
    let output = session.finish().await.unwrap();
    assert_eq!((output.stdout_text().as_str(), output.stderr_text().as_str()), ("bye\n", "err\n"));
    assert_eq!(output.status, ExitStatus::Code(3));
}

#[tokio::test]
async fn a_session_that_nobody_reads_does_not_hold_up_other_commands() {
    let host = Host::start();
    let node = host.connect();
    let mut session = node.open(&script("seq 1 1000000; read x; echo done")).await.unwrap();
    for _ in 0..20 {
        node.exec(&Command::new(["true"])).await.unwrap();
    }
    assert_eq!(session.line().await.unwrap().as_deref(), Some("1"));
    let output = session.finish().await.unwrap();
    assert!(output.stdout_text().ends_with("1000000\ndone\n"));
}

#[tokio::test]
async fn dropping_a_session_releases_what_it_holds() {
    let host = Host::start();
    let node = host.connect();
    let lock = host.folder.join("lock");
    let hold = Command::new(["flock", lock.as_str(), "sh", "-c", "echo held; cat"]);
    let try_lock = Command::new(["flock", "-n", lock.as_str(), "true"]);
    let mut session = node.open(&hold).await.unwrap();
    assert_eq!(session.line().await.unwrap().as_deref(), Some("held"));
    assert!(!node.exec(&try_lock).await.unwrap().status.success());
    drop(session);
    let wait = Command::new(["flock", "-w", "10", lock.as_str(), "true"]);
    assert!(node.exec(&wait).await.unwrap().status.success());
}
