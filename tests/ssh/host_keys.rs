//! Host keys: what is trusted, what is not, and what is written down.

use std::os::unix::fs::PermissionsExt;

use hactl::transport::{SshSettings, TransportError};

use crate::support::{Host, Wish, check, check_in, context, public, tool};

fn refused(error: &TransportError) -> &str {
    match error {
        TransportError::HostKey { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_unknown_host_is_refused_and_not_recorded() {
    let host = Host::start();
    let known = host.folder.join("none");
    let error = check(&host.settings_with(known.clone())).await.unwrap_err();
    let reason = refused(&error);
    assert!(reason.contains("SHA256:") && reason.contains("--accept-new-host-keys"), "{reason}");
    assert!(!known.exists());
}

#[tokio::test]
async fn a_new_host_is_recorded_when_that_was_asked_for() {
    let host = Host::start();
    // The last line has no end: the new one must not be glued to it.
    let known = host.folder.write(
        "mine",
        "# hosts\nother ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
    );
    let accepting = SshSettings { accept_new_host_keys: true, ..host.settings_with(known.clone()) };
    let shared = context();
    for result in futures::future::join_all((0..4).map(|_| check_in(&accepting, shared.clone()))).await {
        result.unwrap();
    }
    let text = std::fs::read_to_string(&known).unwrap();
    let expected: Vec<_> = public(&host.host_key).split(' ').take(2).map(str::to_owned).collect();
    let line = format!("[127.0.0.1]:{} {}", host.port, expected.join(" "));
    assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    check(&host.settings_with(known)).await.unwrap();
}

#[tokio::test]
async fn a_new_known_hosts_file_is_the_users_alone() {
    let host = Host::start();
    let known = host.folder.join("new/folder/known_hosts");
    check(&SshSettings { accept_new_host_keys: true, ..host.settings_with(known.clone()) }).await.unwrap();
    let mode = |path: &camino::Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&known), mode(known.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn a_changed_key_is_refused_even_when_new_ones_are_accepted() {
    let host = Host::start();
    let other = host.folder.key("other_host", "ed25519", "");
    let known = host.folder.write("mine", &format!("\n[127.0.0.1]:{} {}\n", host.port, public(&other)));
    let before = std::fs::read_to_string(&known).unwrap();
    for accept_new_host_keys in [false, true] {
        let settings = SshSettings { accept_new_host_keys, ..host.settings_with(known.clone()) };
        let error = check(&settings).await.unwrap_err();
        let reason = refused(&error);
        assert!(reason.contains(&format!("{known}:2")) && reason.contains("ssh-keygen -R"), "{reason}");
    }
    assert_eq!(std::fs::read_to_string(&known).unwrap(), before);
}

#[tokio::test]
async fn a_key_of_another_type_does_not_count_as_new() {
    let host = Host::start();
    let other = host.folder.key("other_host", "ecdsa", "");
    let known = host.folder.write("mine", &format!("[127.0.0.1]:{} {}\n", host.port, public(&other)));
    let settings = SshSettings { accept_new_host_keys: true, ..host.settings_with(known) };
    assert!(refused(&check(&settings).await.unwrap_err()).contains("another key"));
}

#[tokio::test]
async fn the_host_is_asked_for_the_kind_of_key_that_is_known() {
    let host = Host::start();
    let ecdsa = host.folder.key("host_ecdsa", "ecdsa", "");
    let config = std::fs::read_to_string(host.folder.join("sshd_config")).unwrap();
    host.folder.write("sshd_config", &format!("{config}HostKey {ecdsa}\n"));
    let known = host.folder.write("mine", &format!("[127.0.0.1]:{} {}\n", host.port, public(&ecdsa)));
    check(&host.settings_with(known)).await.unwrap();
}

#[tokio::test]
async fn a_revoked_key_is_refused() {
    let host = Host::start();
    let revoked = format!("@revoked * {}\n{}\n", public(&host.host_key), host.known_line());
    let known = host.folder.write("mine", &revoked);
    let settings = SshSettings { accept_new_host_keys: true, ..host.settings_with(known.clone()) };
    assert!(refused(&check(&settings).await.unwrap_err()).contains(&format!("revoked in {known}:1")));
}

#[tokio::test]
async fn hashed_names_are_found() {
    let host = Host::start();
    let known = host.folder.write("mine", &format!("{}\n", host.known_line()));
    tool(&["ssh-keygen", "-H", "-f", known.as_str()]);
    assert!(std::fs::read_to_string(&known).unwrap().starts_with("|1|"));
    check(&host.settings_with(known)).await.unwrap();
}

#[tokio::test]
async fn wildcards_and_negation_count() {
    let host = Host::start();
    let key = public(&host.host_key);
    let known = host.folder.write("mine", &format!("[127.0.*]:* {key}\n"));
    check(&host.settings_with(known)).await.unwrap();
    let known = host.folder.write("not", &format!("[127.0.*]:*,![127.0.0.1]:{} {key}\n", host.port));
    refused(&check(&host.settings_with(known)).await.unwrap_err());
}

/// A host whose key is certified; the authority's line for known_hosts.
fn certified(options: &[&str]) -> (Host, String) {
    let host = Host::start();
    let authority = host.folder.key("authority", "ed25519", "");
    let certificate = format!("{}-cert.pub", host.host_key);
    let key = format!("{}.pub", host.host_key);
    let mut argv = vec!["ssh-keygen", "-q", "-s", authority.as_str(), "-h", "-I", "alpha"];
    argv.extend(options);
    argv.push(&key);
    tool(&argv);
    let config = std::fs::read_to_string(host.folder.join("sshd_config")).unwrap();
    host.folder.write("sshd_config", &format!("{config}HostCertificate {certificate}\n"));
    let line = format!("@cert-authority [127.0.0.*]:* {}\n", public(&authority));
    (host, line)
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_is_trusted() {
    for options in [&["-n", "127.0.0.1"][..], &["-n", "beta,127.0.0.*"], &[]] {
        let (host, line) = certified(options);
        let known = host.folder.write("mine", &line);
        check(&host.settings_with(known)).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_is_trusted_for_its_hosts_and_its_time_only() {
    for (options, expected) in [
        (&["-n", "beta"][..], "is for beta, not for `127.0.0.1`"),
        (&["-n", "127.0.0.1", "-V", "20200101:20200102"], "has expired"),
        (&["-n", "127.0.0.1", "-V", "20900101:20900102"], "is not valid yet"),
    ] {
        let (host, line) = certified(options);
        let known = host.folder.write("mine", &line);
        let error = check(&host.settings_with(known)).await.unwrap_err();
        assert!(refused(&error).contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_by_a_revoked_authority_is_refused() {
    let (host, line) = certified(&["-n", "127.0.0.1"]);
    let known = host
        .folder
        .write("mine", &format!("{line}{}", line.replace("@cert-authority [127.0.0.*]:*", "@revoked *")));
    assert!(refused(&check(&host.settings_with(known)).await.unwrap_err()).contains("revoked"));
}

#[tokio::test]
async fn a_certificate_by_a_stranger_counts_for_its_key() {
    let (host, line) = certified(&["-n", "127.0.0.1"]);
    let stranger = host.folder.key("stranger", "ed25519", "");
    let authority = format!("@cert-authority * {}\n", public(&stranger));
    assert_ne!(line, authority);
    let known = host.folder.write("mine", &authority);
    assert!(refused(&check(&host.settings_with(known)).await.unwrap_err()).contains("nothing is known"));
    let known = host.folder.write("both", &format!("{authority}{}\n", host.known_line()));
    check(&host.settings_with(known)).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_the_line() {
    let host = Host::with(Wish::default());
    let known = host.folder.write("mine", &format!("{}\n@revoked * nonsense\n", host.known_line()));
    let error = check(&host.settings_with(known.clone())).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{known}:2")), "{error}");
    let folder = host.folder.path().to_owned();
    let error = check(&host.settings_with(folder.clone())).await.unwrap_err();
    assert!(
        matches!(&error, TransportError::Configuration { reason, .. } if reason.contains(folder.as_str())),
        "{error}"
    );
}
