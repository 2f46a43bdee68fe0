//! Mistakes in the arguments and the inventory: exit code 3, told with their place, nothing contacted.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::setting::{BLOCKED, DIFFERENCES, Setting, USAGE};

/// A barclamp of the test's own.
const MANIFEST: &str = "name: greeting\nversion: 0.1.0\nsummary: A file with a greeting\nroles: { greeting: { summary: Greets } }\ndistros: [debian-12]\n";
const RESOURCES: &str =
    "resources:\n  - id: file\n    on: role greeting\n    file: { template: hello, path: /etc/hello }\n";

pub(crate) fn mistakes_are_told_before_anything_is_contacted(setting: &mut Setting) {
    arguments(setting);
    yaml(setting);
    values(setting);
    fencing(setting);
    templates(setting);
    stdin(setting);
    let done = setting.run(&setting.attempt("destroy", &["--yes"])).expect(0);
    done.says("hactl owns nothing on these nodes");
}

fn arguments(setting: &mut Setting) {
    let attempt = |setting: &Setting, verb, arguments: &[&'static str]| setting.attempt(verb, arguments);
    let unconfirmed = attempt(setting, "apply", &[]);
    setting.refused(
        "apply without --yes and without a terminal",
        &unconfirmed,
        USAGE,
        &["not a terminal", "--yes"],
    );
    let unknown = attempt(setting, "apply", &["--yess"]);
    setting.refused("an unknown flag", &unknown, USAGE, &["'--yess'", "'--yes'"]);
    let nobody = attempt(setting, "apply", &["--yes", "--on", "delta"]);
    let ran =
        setting.refused("--on that matches nothing", &nobody, USAGE, &["`delta`", "alpha, beta, gamma"]);
    assert!(!ran.err.contains("log of every command"), "there is no log yet\n{ran}");
    let role = attempt(setting, "apply", &["--yes", "--on", "@storage"]);
    setting.refused("a role that no node has", &role, USAGE, &["`@storage`"]);
    let empty = attempt(setting, "apply", &["--yes", "--on", ""]);
    setting.refused("an empty --on, as from an unset variable", &empty, USAGE, &["--on"]);
    let mut command = setting.lab.command("plan", &[]);
    command.arg("--color").arg("sometimes");
    let ran = crate::lab::Program::start(&mut command).finish(crate::lab::RUN_LIMIT).expect(USAGE);
    ran.warns("sometimes").warns("never");
    unwritable_logs(setting);
}

fn unwritable_logs(setting: &Setting) {
    for path in ["/nonexistent/hactl.log", "/"] {
        let mut command = hactl("plan");
        command.args(["--log", path, "-i"]).arg(setting.lab.path("nodes.yml"));
        let ran = crate::lab::Program::start(&mut command).finish(crate::lab::RUN_LIMIT).expect(USAGE);
        ran.warns(path).warns("cannot be written").warns("what to do");
    }
}

/// The executable without the flags that [`crate::lab::TestLab::command`] adds.
fn hactl(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command.arg(verb).env("NO_COLOR", "1");
    command
}

/// The inventory as text: what is wrong, how it comes about, what must be told besides the file and the line.
fn yaml(setting: &mut Setting) {
    for (what, from, to, says) in [
        ("a tab", "    nodes:", "\tnodes:", "indent with spaces"),
        ("an open quote", "user: root", "user: \"root", "not YAML"),
        ("a wrong indentation", "    barclamps:", "   barclamps:", "not YAML"),
        ("a list for a text", "user: root", "user: [root]", "`user` must be a text"),
        ("a number for a list", "    nodes:", "    claims: 5\n    nodes:", "`claims`"),
        ("no address", "gamma: { address:", "gamma: { adress:", "did you mean `address`"),
        ("an unknown key at the top", "variables:", "variable:", "did you mean `variables`"),
        ("an alias without anchor", "user: root", "user: *root", "there is no anchor"),
        ("a tag", "user: root", "user: !!binary root", "the tag"),
        ("a variable that is not set", "user: root", "user: \"${nobody}\"", "no variable `nobody`"),
        ("a second document", "    ssh:", "---\n    ssh:", "a second document begins"),
    ] {
        let right = setting.apply();
        let attempt = setting.apply().nodes(from, to);
        let differs = right.nodes.lines().zip(attempt.nodes.lines()).position(|(old, new)| old != new);
        let line = differs.expect("a line is another") + 1;
        setting.refused(
            &format!("YAML: {what}"),
            &attempt,
            USAGE,
            &[says, &format!("nodes.yml:{line}:"), "in the inventory"],
        );
    }
    for (what, bytes, says) in [
        ("a file that is not UTF-8", &b"clusters:\n  \xff: {}\n"[..], "line 2 is not UTF-8"),
        ("a file with nothing in it", b"", "has no `clusters`"),
    ] {
        std::fs::write(setting.lab.path("bad.yml"), bytes).expect("a file");
        let mut command = hactl("apply");
        command.args(["--yes", "-i"]).arg(setting.lab.path("bad.yml"));
        let ran = crate::lab::Program::start(&mut command).finish(crate::lab::RUN_LIMIT).expect(USAGE);
        ran.warns(says).warns("1 mistake in the inventory");
        setting.lab.say(&format!("{what}: refused with {USAGE}"));
    }
    let mut command = hactl("apply");
    command.args(["--yes", "-i", "/nonexistent/inventory.yml"]);
    let ran = crate::lab::Program::start(&mut command).finish(crate::lab::RUN_LIMIT).expect(USAGE);
    ran.warns("cannot read /nonexistent/inventory.yml").warns("`hactl init` writes an inventory");
}

fn values(setting: &mut Setting) {
    let (alpha, beta) = (setting.address("alpha", 0), setting.address("beta", 0));
    let same =
        setting.apply().nodes(&format!("beta: {{ address: {beta}"), &format!("beta: {{ address: {alpha}"));
    let place = same.place(&format!("beta: {{ address: |{alpha}"));
    let says = [place.as_str(), "`alpha` and `beta` have the same address", &alpha, "first here"];
    setting.refused("two nodes with one address", &same, USAGE, &says);
    let unknown = setting.apply().more("      pacemakr: {}\n");
    let says = [&unknown.place("pacemakr"), "did you mean `pacemaker`"];
    setting.refused("an unknown barclamp", &unknown, USAGE, &says);
    let attribute = setting.apply().nodes("        fencing:", "        fencin: {}\n        fencing:");
    let says = [&attribute.place("fencin:"), "`fencin`", "did you mean `fencing`"];
    setting.refused("an unknown attribute", &attribute, USAGE, &says);
    let twice = setting.apply().nodes("    barclamps:", "    ssh: {}\n    barclamps:");
    setting.refused(
        "a key that is there twice",
        &twice,
        USAGE,
        &[&twice.place("ssh: {}"), "`ssh` is here twice"],
    );
    let secret = setting.quoted("password: { file");
    let missing = setting.apply().nodes(&secret, "/nonexistent/secret");
    let says = [&missing.place("password: {"), "/nonexistent/secret", "No such file"];
    setting.refused("a secret's file that does not exist", &missing, USAGE, &says);
    let all = setting.apply().nodes(&format!("beta: {{ address: {beta}"), "beta: { address: nonsense..name");
    let all = all.more("      haproxy: {}\n");
    let says = [&all.place("nonsense"), &all.place("haproxy: {}"), "`haproxy` is here twice", "2 mistakes"];
    setting.refused("several mistakes in several files, all at once", &all, USAGE, &says);
}

fn fencing(setting: &mut Setting) {
    let bare = |setting: &Setting, fencing: &str| {
        let mut attempt = setting.attempt("plan", &["--detailed-exitcode"]);
        let (before, _) = attempt.nodes.split_once("        fencing:").expect("the inventory has fencing");
        attempt.nodes = format!("{before}        fencing: {fencing}\n");
        attempt
    };
    let none = bare(setting, "{}");
    let says = [&none.place("fencing:"), "needs fencing", "disabled: \"reason\""];
    setting.refused("no fencing and no reason", &none, USAGE, &says);
    let unexplained = bare(setting, "{ disabled: \"\" }");
    setting.refused("no fencing and an empty reason", &unexplained, USAGE, &[&unexplained.place("disabled")]);
    let explained = bare(setting, "{ disabled: \"shown in a lab without power switches\" }");
    setting.run(&explained).expect(DIFFERENCES);
    let one = setting.apply().nodes("            gamma: { plug: gamma }\n", "");
    let says = [&one.place("per_node:"), "`gamma` has no fence device"];
    setting.refused("a node without a fence device", &one, USAGE, &says);
}

fn templates(setting: &mut Setting) {
    let folder = setting.lab.path("barclamps");
    let one = folder.join("greeting");
    std::fs::create_dir_all(one.join("templates")).expect("a folder");
    for (file, text) in [
        ("barclamp.yml", MANIFEST),
        ("resources.yml", RESOURCES),
        ("templates/hello.tera", "hello\n{{ attributes.nobody }}\n"),
    ] {
        std::fs::write(one.join(file), text).expect("a file");
    }
    let folder = folder.to_str().expect("UTF-8").to_owned();
    let broken = setting.attempt("apply", &["--yes", "--barclamps", &folder]).more("      greeting: {}\n");
    setting.refused(
        "a template with a mistake",
        &broken,
        USAGE,
        &["barclamp `greeting`", "templates/hello.tera:2", "nobody"],
    );
    let validated = setting.attempt("validate", &["--barclamps", &folder]).more("      greeting: {}\n");
    setting.refused(
        "the same by validate",
        &validated,
        USAGE,
        &["barclamp `greeting`", "templates/hello.tera:2"],
    );
}

/// The inventory from stdin: refused where stdin would be needed for the answer, planned otherwise.
fn stdin(setting: &mut Setting) {
    let fed = |setting: &Setting, verb: &str, more: &[&str]| {
        let mut command = hactl(verb);
        command.args(["-i", "-", "-i"]).arg(setting.lab.path("services.yml")).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // What does not want an inventory does not read it.
        child.stdin.take().expect("a pipe").write_all(setting.lab.nodes.as_bytes()).ok();
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    setting.prepare(&setting.apply());
    let log = setting.lab.path("stdin.log");
    let log = log.to_str().expect("UTF-8");
    let (code, told) = fed(setting, "apply", &["--log", log]);
    assert!(code == Some(USAGE) && told.contains("stdin is read for the inventory"), "{code:?}: {told}");
    let (code, told) = fed(setting, "plan", &["--detailed-exitcode", "--log", log]);
    assert!(code == Some(DIFFERENCES), "{code:?}: {told}");
    assert_ne!(code, Some(BLOCKED));
    setting.lab.say("an inventory from stdin is planned, and cannot be asked about");
}
