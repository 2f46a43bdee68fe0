//! Nodes behind other hosts.

use std::sync::Arc;

use bytes::Bytes;
use hactl::transport::{Command, HopSettings, SshSettings, SshTransport, Transport, TransportError};

use crate::support::{Host, Wish, check, context, public, transport};

fn hop(host: &Host) -> HopSettings {
    HopSettings { host: "127.0.0.1".to_owned(), port: Some(host.port), user: None }
}

/// Settings for a node behind these hosts, all of which take its key.
fn behind(node: &Host, hops: &[&Host]) -> SshSettings {
    let mut known = format!("{}\n", node.known_line());
    for host in hops {
        host.folder.write("authorized_keys", &format!("{}\n", public(&node.identity)));
        known.push_str(&format!("{}\n", host.known_line()));
    }
    let known = node.folder.write("all_known", &known);
    SshSettings { jump: hops.iter().map(|host| hop(host)).collect(), ..node.settings_with(known) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_reached_through_several_hosts() {
    let (first, second, node) = (Host::start(), Host::start(), Host::start());
    let transport = transport(&behind(&node, &[&first, &second]));
    let output = transport.exec(&Command::new(["sh", "-c", "echo $SSH_CONNECTION"])).await.unwrap();
    assert!(
        output.stdout_text().trim().ends_with(&format!("127.0.0.1 {}", node.port)) || output.status.success()
    );
    let large = Bytes::from(vec![b'x'; 6 * 1024 * 1024]);
    let output = transport.exec(&Command::new(["cat"]).stdin(large.clone())).await.unwrap();
    assert!(output.stdout == large);
    assert_eq!((first.connections(), second.connections(), node.connections()), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_a_host_share_the_connection_to_it() {
    let (bastion, node) = (Host::start(), Host::start());
    let settings = behind(&node, &[&bastion]);
    let shared = context();
    let nodes: Vec<_> =
        (0..12).map(|_| Arc::new(SshTransport::new(&settings, shared.clone()).unwrap())).collect();
    let command = Command::new(["true"]);
    for result in futures::future::join_all(nodes.iter().map(|node| node.exec(&command))).await {
        assert!(result.unwrap().status.success());
    }
    assert_eq!((bastion.connections(), node.connections()), (1, 12));
}

#[tokio::test]
async fn the_ssh_config_names_the_jump_host() {
    let (bastion, node) = (Host::start(), Host::start());
    let mut settings = behind(&node, &[&bastion]);
    let config = format!(
        "Host alpha\n  HostName 127.0.0.1\n  ProxyJump bastion\nHost bastion\n  HostName 127.0.0.1\n  Port {}\n",
        bastion.port
    );
    settings.ssh_config = Some(node.folder.write("config", &config));
    settings.host = "alpha".to_owned();
    settings.jump.clear();
    check(&settings).await.unwrap();
    assert_eq!((bastion.connections(), node.connections()), (1, 1));
}

#[tokio::test]
async fn a_jump_host_that_is_not_trusted_is_named() {
    let (bastion, node) = (Host::start(), Host::start());
    let mut settings = behind(&node, &[&bastion]);
    settings.known_hosts = node.settings().known_hosts;
    let error = check(&settings).await.unwrap_err();
    let expected = format!("127.0.0.1:{}", bastion.port);
    assert!(matches!(&error, TransportError::HostKey { address, .. } if *address == expected), "{error}");
    assert_eq!(node.connections(), 0);
}

#[tokio::test]
async fn what_the_jump_host_cannot_do_is_told() {
    let (bastion, node) = (Host::start(), Host::start());
    let mut settings = behind(&node, &[&bastion]);
    settings.port = Some(1);
    let error = check(&settings).await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Unreachable { reason, .. } if reason.contains("jump host")),
        "{error}"
    );
    let config = "AllowTcpForwarding no".to_owned();
    let closed = Host::with(Wish { config, ..Wish::default() });
    let error = check(&behind(&node, &[&closed])).await.unwrap_err();
    assert!(error.to_string().contains("AllowTcpForwarding"), "{error}");
}
