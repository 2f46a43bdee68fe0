//! Nodes that do not answer, stop answering, or are cut off.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use hactl::names::NodeName;
use hactl::transport::{Command, SshSettings, Transport, TransportError};

use crate::support::{Host, check, script, transport};

fn settings(port: u16) -> SshSettings {
    let mut settings = SshSettings::new(NodeName::new("alpha").unwrap(), "127.0.0.1");
    settings.port = Some(port);
    settings.known_hosts = vec!["/nonexistent/known_hosts".into()];
    settings
}

fn unreachable(error: &TransportError) -> &str {
    match error {
        TransportError::Unreachable { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_peer_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(listener.local_addr().unwrap().port());
    settings.login_timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = check(&settings).await.unwrap_err();
    assert!(unreachable(&error).contains("handshake did not finish within 0.3 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_told_apart() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(unreachable(&check(&settings(port)).await.unwrap_err()).contains("refused"));
    let named = SshSettings { host: "no-such-host.invalid".to_owned(), ..settings(port) };
    assert!(unreachable(&check(&named).await.unwrap_err()).contains("cannot be looked up"));
}

#[tokio::test]
async fn something_else_behind_the_port_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(40)).unwrap();
        stream
    });
    let error = check(&settings(port)).await.unwrap_err();
    assert!(unreachable(&error).contains("not an SSH server"), "{error}");
    drop(server.join());
}

#[tokio::test]
async fn a_cut_connection_loses_the_command_and_the_next_one_connects_again() {
    let host = Host::start();
    let node = host.connect();
    let mut session = node.open(&script("echo running; sleep 600")).await.unwrap();
    assert_eq!(session.line().await.unwrap().as_deref(), Some("running"));
    let sleep = Command::new(["sleep", "600"]);
    let running = node.exec(&sleep);
    let cut = async {
        // The other command has been sent once the connection has two sessions.
        while host.log().matches("Starting session").count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        host.cut();
    };
    let (result, ()) = tokio::join!(running, cut);
    let error = result.unwrap_err();
    assert!(
        matches!(&error, TransportError::Lost { command, .. } if command.starts_with("sleep")),
        "{error}"
    );
    assert!(matches!(session.line().await.unwrap_err(), TransportError::Lost { .. }));
    assert!(node.exec(&Command::new(["true"])).await.unwrap().status.success());
    assert_eq!(host.connections(), 2);
}

#[tokio::test]
async fn a_node_that_freezes_is_noticed_by_the_keep_alive() {
    let host = Host::start();
    let mut settings = host.settings();
    settings.keepalive_interval = Duration::from_millis(200);
    settings.keepalive_misses = 2;
    let node = transport(&settings);
    let mut session = node.open(&script("echo running; cat")).await.unwrap();
    assert_eq!(session.line().await.unwrap().as_deref(), Some("running"));
    host.freeze();
    let start = Instant::now();
    let error = session.line().await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Lost { reason, .. } if reason.contains("keep-alive")),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_quiet_command_is_kept_alive() {
    let host = Host::start();
    let mut settings = host.settings();
    settings.keepalive_interval = Duration::from_millis(100);
    settings.keepalive_misses = 2;
    let output = transport(&settings).exec(&Command::new(["sleep", "1"])).await.unwrap();
    assert!(output.status.success());
}

#[tokio::test]
async fn those_who_wait_for_a_dead_node_share_one_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(listener.local_addr().unwrap().port());
    settings.login_timeout = Duration::from_millis(300);
    let node = transport(&settings);
    let command = Command::new(["true"]);
    let start = Instant::now();
    for result in futures::future::join_all((0..50).map(|_| node.exec(&command))).await {
        unreachable(&result.unwrap_err());
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
