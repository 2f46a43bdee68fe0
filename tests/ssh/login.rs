//! Logging in: key files, encrypted keys, the agent, and what is said when none of it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use hactl::transport::{SshContext, SshSettings, TransportError};
use secrecy::SecretString;

use crate::support::{Agent, Host, Wish, check, check_in, context, context_with_agent, public};

fn authorize(host: &Host, key: &Utf8Path) {
    host.folder.write("authorized_keys", &format!("{}\n", public(key)));
}

fn authentication(error: &TransportError) -> &str {
    match error {
        TransportError::Authentication { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_common_kind_of_key_works() {
    let host = Host::start();
    let kinds = [
        "ed25519",
        "ecdsa",
        #[cfg(feature = "rsa")]
        "rsa",
    ];
    for kind in kinds {
        let key = host.folder.key(kind, kind, "");
        authorize(&host, &key);
        let settings = SshSettings { identities: vec![key], ..host.settings() };
        check(&settings).await.unwrap();
    }
}

#[tokio::test]
async fn the_second_key_is_tried_when_the_first_is_refused() {
    let host = Host::start();
    let other = host.folder.key("other", "ed25519", "");
    let settings = SshSettings { identities: vec![other, host.identity.clone()], ..host.settings() };
    check(&settings).await.unwrap();
}

#[tokio::test]
async fn a_refused_key_is_named() {
    let host = Host::start();
    let other = host.folder.key("other", "ed25519", "");
    let error = check(&SshSettings { identities: vec![other.clone()], ..host.settings() }).await.unwrap_err();
    let reason = authentication(&error);
    assert!(reason.contains(other.as_str()) && reason.contains("authorized_keys"), "{reason}");
}

#[tokio::test]
async fn no_key_at_all_says_what_to_do() {
    let host = Host::start();
    let error = check(&SshSettings { identities: vec![], ..host.settings() }).await.unwrap_err();
    assert!(authentication(&error).contains("no key to log in with"), "{error}");
    let absent = SshSettings { identities: vec!["/nonexistent/key".into()], ..host.settings() };
    assert!(authentication(&check(&absent).await.unwrap_err()).contains("no key file /nonexistent/key"));
}

#[tokio::test]
async fn the_agent_signs() {
    let host = Host::start();
    let agent = Agent::start(&[&host.identity]);
    let settings = SshSettings { identities: vec![], agent: true, ..host.settings() };
    check_in(&settings, context_with_agent(Some(&agent))).await.unwrap();
    let without = check_in(&settings, context()).await.unwrap_err();
    assert!(authentication(&without).contains("no key"), "{without}");
}

#[tokio::test]
async fn an_rsa_key_works_through_the_agent() {
    let host = Host::start();
    let key = host.folder.key("rsa", "rsa", "");
    authorize(&host, &key);
    let agent = Agent::start(&[&key]);
    let settings = SshSettings { identities: vec![], agent: true, ..host.settings() };
    check_in(&settings, context_with_agent(Some(&agent))).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_gone_is_named() {
    let host = Host::start();
    let agent = Agent::start(&[]);
    let context = context_with_agent(Some(&agent));
    drop(agent);
    let error = check_in(&SshSettings { identities: vec![], agent: true, ..host.settings() }, context)
        .await
        .unwrap_err();
    assert!(authentication(&error).contains("does not answer"), "{error}");
}

#[tokio::test]
async fn an_encrypted_key_is_opened_once_for_all_nodes() {
    let host = Host::start();
    let key = host.folder.key("encrypted", "ed25519", "correct horse");
    authorize(&host, &key);
    let asked = Arc::new(AtomicUsize::new(0));
    let source = {
        let asked = asked.clone();
        move |_: &Utf8Path| {
            asked.fetch_add(1, Ordering::Relaxed);
            Some(SecretString::from("correct horse".to_owned()))
        }
    };
    let context = Arc::new(SshContext::with_environment(Arc::new(source), None, None));
    let settings = SshSettings { identities: vec![key], ..host.settings() };
    for result in futures::future::join_all((0..3).map(|_| check_in(&settings, context.clone()))).await {
        result.unwrap();
    }
    assert_eq!((asked.load(Ordering::Relaxed), host.connections()), (1, 3));
}

#[tokio::test]
async fn an_encrypted_key_that_cannot_be_opened_says_why() {
    let host = Host::start();
    let key = host.folder.key("encrypted", "ed25519", "correct horse");
    authorize(&host, &key);
    let settings = SshSettings { identities: vec![key.clone()], agent: true, ..host.settings() };
    let error = check(&settings).await.unwrap_err();
    assert!(authentication(&error).contains("no passphrase was given"), "{error}");
    let wrong = |_: &Utf8Path| Some(SecretString::from("battery staple".to_owned()));
    let context = Arc::new(SshContext::with_environment(Arc::new(wrong), None, None));
    let error = check_in(&settings, context).await.unwrap_err();
    let reason = authentication(&error);
    assert!(reason.contains("does not open it") && !reason.contains("battery"), "{reason}");
}

#[tokio::test]
async fn an_encrypted_key_that_the_agent_holds_needs_no_passphrase() {
    let host = Host::start();
    // The agent gets an unencrypted copy of the same key.
    let key = host.folder.join("encrypted");
    std::fs::copy(&host.identity, &key).unwrap();
    crate::support::tool(&["ssh-keygen", "-q", "-p", "-N", "correct horse", "-f", key.as_str()]);
    let agent = Agent::start(&[&host.identity]);
    let settings = SshSettings { identities: vec![key], agent: true, ..host.settings() };
    check_in(&settings, context_with_agent(Some(&agent))).await.unwrap();
}

#[cfg(not(feature = "rsa"))]
#[tokio::test]
async fn rsa_keys_are_refused_with_the_reason() {
    let host = Host::start();
    let key = host.folder.key("rsa", "rsa", "");
    authorize(&host, &key);
    let error = check(&SshSettings { identities: vec![key], ..host.settings() }).await.unwrap_err();
    assert!(authentication(&error).contains("RUSTSEC-2023-0071"), "{error}");
    let host = Host::with(Wish { host_key_type: "rsa", ..Wish::default() });
    let error = check(&host.settings()).await.unwrap_err();
    assert!(
        matches!(&error, TransportError::HostKey { reason, .. } if reason.contains("ssh-keygen -A")),
        "{error}"
    );
}

#[cfg(feature = "rsa")]
#[tokio::test]
async fn a_host_with_an_rsa_key_only_is_reached() {
    check(&Host::with(Wish { host_key_type: "rsa", ..Wish::default() }).settings()).await.unwrap();
}

#[tokio::test]
async fn a_user_certificate_beside_the_key_is_used() {
    let host = Host::start();
    let authority = host.folder.key("authority", "ed25519", "");
    let key = host.folder.key("certified", "ed25519", "");
    let ca = authority.as_str();
    crate::support::tool(&["ssh-keygen", "-q", "-s", ca, "-I", "op", "-n", "root", &format!("{key}.pub")]);
    host.folder.write("authorized_keys", &format!("cert-authority {}\n", public(&authority)));
    check(&SshSettings { identities: vec![key], ..host.settings() }).await.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_a_password_is_told_apart() {
    let config = "PubkeyAuthentication no\nKbdInteractiveAuthentication yes\nAuthenticationMethods any\n";
    let host = Host::with(Wish { config: config.to_owned(), ..Wish::default() });
    let error = check(&host.settings()).await.unwrap_err();
    assert!(authentication(&error).contains("hactl logs in with keys only"), "{error}");
}

#[tokio::test]
async fn the_ssh_config_names_host_port_user_and_key() {
    let host = Host::start();
    let settings = host.settings();
    let config = format!(
        "Include {}/included\nHost *\n  UserKnownHostsFile {}\n",
        host.folder.path(),
        settings.known_hosts[0]
    );
    let included = format!(
        "Host the-node\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n",
        host.port, host.identity
    );
    host.folder.write("included", &included);
    let config = host.folder.write("config", &config);
    let mut settings = SshSettings::new(settings.node, "the-node");
    settings.ssh_config = Some(config);
    check(&settings).await.unwrap();
}
