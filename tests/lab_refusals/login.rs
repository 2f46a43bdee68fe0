//! The way to a node: exit code 4, the node named, with what to do.

use std::process::Command;

use crate::setting::{DIFFERENCES, NODES, Setting, UNREACHABLE};

/// The password of the lab's login `operator`.
const OPERATOR_PASSWORD: &str = "operator-pw";

pub(crate) fn nodes_that_cannot_be_reached_or_logged_in_to(setting: &mut Setting) {
    addresses(setting);
    host_keys(setting);
    login_keys(setting);
    sudo(setting);
}

fn addresses(setting: &mut Setting) {
    let gamma = setting.address("gamma", 0);
    let nobody = gamma.replace(".13", ".99");
    let away = setting.apply().nodes(&format!("address: {gamma}"), &format!("address: {nobody}"));
    let says = ["gamma: cannot connect to", &nobody, "what to do: ", "`address`", "nothing was changed"];
    let ran = setting.refused("a node that is not there", &away, UNREACHABLE, &says);
    assert!(!ran.err.contains("error: alpha"), "the others answered\n{ran}");
    let port = setting.apply().nodes("user: root", "user: root, port: 2222");
    let says = ["alpha: cannot connect", "beta: cannot connect", "gamma: cannot connect", ":2222", "refused"];
    setting.refused("a port where nobody listens", &port, UNREACHABLE, &says);
}

fn host_keys(setting: &mut Setting) {
    let known = setting.quoted("known_hosts");
    let lines = std::fs::read_to_string(&known).expect("the lab's known_hosts");
    let beta = setting.address("beta", 0);
    let key = key(setting, "another");
    let public = std::fs::read_to_string(format!("{key}.pub")).expect("the public key");
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let changed = |line: &str| match line.split_once(' ') {
        Some((hosts, _)) if hosts.contains(&beta) => format!("{hosts} {public}\n"),
        _ => format!("{line}\n"),
    };
    let wrong = setting.file("known_wrong", &lines.lines().map(changed).collect::<String>());
    let attempt = setting.apply().nodes(&known, &wrong);
    let says = ["beta: host key of", &beta, "names another key", &wrong, "ssh-keygen -R"];
    setting.refused("a wrong host key", &attempt, UNREACHABLE, &says);
    let others = |line: &&str| !line.contains(&beta);
    let unknown: String = lines.lines().filter(others).map(|line| format!("{line}\n")).collect();
    let unknown = setting.file("known_without", &unknown);
    let attempt = setting.apply().nodes(&known, &unknown);
    let says = ["beta: host key of", "nothing is known about it", &unknown, "--accept-new-host-keys"];
    setting.refused("an unknown host key", &attempt, UNREACHABLE, &says);
    let mut accepted = setting.attempt("plan", &["--detailed-exitcode", "--accept-new-host-keys"]);
    accepted = accepted.nodes(&known, &unknown);
    setting.run(&accepted).expect(DIFFERENCES);
    assert!(std::fs::read_to_string(&unknown).expect("known_hosts").contains(&beta), "recorded on request");
}

fn login_keys(setting: &mut Setting) {
    let right = setting.quoted("identity");
    let wrong = key(setting, "stranger");
    let attempt = setting.apply().nodes(&right, &wrong);
    let says = ["alpha: cannot log in as root", "gamma: cannot log in as root", &wrong, "authorized_keys"];
    setting.refused("a wrong login key", &attempt, UNREACHABLE, &says);
    let attempt = setting.apply().nodes(&right, "/nonexistent/id_ed25519");
    setting.refused("a login key that does not exist", &attempt, UNREACHABLE, &["/nonexistent/id_ed25519"]);
}

fn sudo(setting: &mut Setting) {
    let user = |setting: &Setting, user: &str| setting.apply().nodes("user: root", user);
    let attempt = user(setting, "user: admin");
    let says = ["alpha: cannot become root", "does not allow sudo", "`sudo: true`"];
    setting.refused("a login that is not root, without sudo", &attempt, UNREACHABLE, &says);
    let attempt = user(setting, "user: operator, sudo: true");
    setting.refused(
        "sudo that wants a password",
        &attempt,
        UNREACHABLE,
        &["beta: cannot become root", "password"],
    );
    let wrong = setting.file("wrong-password", "not-the-password\n");
    let attempt = user(setting, &format!("user: operator, sudo: {{ password: {{ file: \"{wrong}\" }} }}"));
    let ran =
        setting.refused("a wrong sudo password", &attempt, UNREACHABLE, &["does not accept the password"]);
    assert!(!ran.err.contains("not-the-password"), "{ran}");
    setting.lab.on("beta", "mv /usr/bin/sudo /usr/bin/sudo.away");
    let attempt = user(setting, "user: admin, sudo: true");
    setting.refused(
        "sudo that is not installed",
        &attempt,
        UNREACHABLE,
        &["beta: cannot become root", "not installed"],
    );
    setting.lab.on("beta", "mv /usr/bin/sudo.away /usr/bin/sudo");
    let right = setting.file("password", &format!("{OPERATOR_PASSWORD}\n"));
    for login in
        ["user: admin, sudo: true", &format!("user: operator, sudo: {{ password: {{ file: \"{right}\" }} }}")]
    {
        let mut attempt = setting.attempt("plan", &["--detailed-exitcode"]).nodes("user: root", login);
        attempt.verb = "plan";
        setting.run(&attempt).expect(DIFFERENCES);
    }
    setting.lab.say(&format!("sudo with and without a password plans for {}", NODES.join(", ")));
}

/// A new key pair; the path of its private half.
fn key(setting: &Setting, name: &str) -> String {
    let path = setting.lab.path(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
    assert!(made.expect("ssh-keygen starts").success());
    path.to_str().expect("UTF-8").to_owned()
}
