//! Logins that are not root. The user and its rights exist in the mount namespace of the connection only.

use std::process::Command as Process;

use hactl::transport::{Command, SshSettings, Sudo, Transport, TransportError};
use secrecy::SecretString;

use crate::support::{Host, Wish, tool, transport};

const PASSWORD: &str = "it's $ecret";

/// A host with a login `op` and this line about it in sudoers; `None` where there is no sudo to test with.
fn host(sudoers: &str) -> Option<Host> {
    if Process::new("sudo").arg("-V").output().is_err() {
        eprintln!("skipped: sudo is not installed here (apt-get install sudo)");
        return None;
    }
    let hash = tool(&["openssl", "passwd", "-6", PASSWORD]);
    let setup = format!(
        "for name in passwd shadow sudoers; do cp /etc/$name $DIR/$name.$$; done\n\
         echo 'op:x:12345:12345::/tmp:/bin/sh' >> $DIR/passwd.$$\n\
         echo 'op:{}:19000:0:99999:7:::' >> $DIR/shadow.$$\n\
         printf '%s\\n' 'Defaults env_reset' 'Defaults !fqdn' 'root ALL=(ALL:ALL) ALL' '{sudoers}' > $DIR/sudoers.$$\n\
         chmod 0640 $DIR/shadow.$$; chmod 0440 $DIR/sudoers.$$\n\
         for name in passwd shadow sudoers; do mount --bind $DIR/$name.$$ /etc/$name; done\n\
         mkdir -p /run/sudo; mount -t tmpfs tmpfs /run/sudo\n",
        hash.trim()
    );
    Some(Host::with(Wish { setup, ..Wish::default() }))
}

fn login(host: &Host, sudo: Sudo) -> SshSettings {
    SshSettings { user: Some("op".to_owned()), sudo, ..host.settings() }
}

fn password(text: &str) -> Sudo {
    Sudo::with_password(SecretString::from(text.to_owned()))
}

fn refused(error: &TransportError) -> &str {
    match error {
        TransportError::Privilege { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

/// `id -u`, its input and its stderr, as root and as the login.
async fn becomes_root(settings: &SshSettings) {
    let node = transport(settings);
    let shell =
        Command::new(["sh", "-c", "id -u; cat; echo \"$LC_ALL\" >&2; exit 5"]).stdin("first line\nsecond\n");
    let output = node.exec(&shell).await.unwrap();
    assert_eq!(output.stdout_text(), "0\nfirst line\nsecond\n");
    assert_eq!(
        (output.stderr_text().as_str(), output.status.to_string().as_str()),
        ("C.UTF-8\n", "exit code 5")
    );
    let output = node.exec(&Command::new(["id", "-u"])).await.unwrap();
    assert_eq!(output.stdout_text(), "0\n");
    let output = node.exec(&Command::new(["id", "-u"]).unprivileged()).await.unwrap();
    assert_eq!(output.stdout_text(), "12345\n");
    let mut session = node.open(&Command::new(["sh", "-c", "id -u; cat"])).await.unwrap();
    session.write("hello\n".into()).await.unwrap();
    assert_eq!(session.line().await.unwrap().as_deref(), Some("0"));
    assert_eq!(session.line().await.unwrap().as_deref(), Some("hello"));
    assert!(session.finish().await.unwrap().status.success());
}

#[tokio::test]
async fn sudo_without_a_password() {
    let Some(host) = host("op ALL=(ALL) NOPASSWD: ALL") else { return };
    becomes_root(&login(&host, Sudo::Passwordless)).await;
    // A password that nobody asks for must not end up in the command's input.
    becomes_root(&login(&host, password(PASSWORD))).await;
}

#[tokio::test]
async fn sudo_with_a_password() {
    let Some(host) = host("op ALL=(ALL) ALL") else { return };
    becomes_root(&login(&host, password(PASSWORD))).await;
}

#[tokio::test]
async fn refusals_say_what_to_do_and_never_the_password() {
    let Some(host) = host("op ALL=(ALL) ALL") else { return };
    let command = Command::new(["id"]);
    let wrong = transport(&login(&host, password("hunter2"))).exec(&command).await.unwrap_err();
    assert!(
        refused(&wrong).contains("does not accept the password") && !wrong.to_string().contains("hunter2"),
        "{wrong}"
    );
    let needs = transport(&login(&host, Sudo::Passwordless)).exec(&command).await.unwrap_err();
    assert!(refused(&needs).contains("NOPASSWD"), "{needs}");
    let none = transport(&login(&host, Sudo::No)).exec(&command).await.unwrap_err();
    assert!(refused(&none).contains("log in as root, or write `sudo: true`"), "{none}");
    let session = transport(&login(&host, password("hunter2"))).open(&command).await.map(|_| ());
    refused(&session.unwrap_err());
}

#[tokio::test]
async fn a_login_that_may_not_use_sudo() {
    let Some(host) = host("# nothing about op") else { return };
    for sudo in [Sudo::Passwordless, password(PASSWORD)] {
        let error = transport(&login(&host, sudo)).exec(&Command::new(["id"])).await.unwrap_err();
        assert!(refused(&error).contains("sudo"), "{error}");
    }
}
