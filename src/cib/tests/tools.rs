//! Pacemaker's tools, used offline on a file, have the last word.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::generate::{configuration, everything};
use crate::cib::*;

/// Cases that the real tools judge; each starts a process or two.
const CASES: u32 = 60;

/// Directory of another installation of Pacemaker's tools, entered with `chroot`: another version has its say too.
const ROOT_VARIABLE: &str = "HACTL_TEST_PACEMAKER_ROOT";

fn root() -> Option<String> {
    std::env::var(ROOT_VARIABLE).ok().filter(|root| !root.is_empty())
}

fn command(tool: &str) -> Command {
    match root() {
        None => Command::new(tool),
        Some(root) => {
            let mut command = Command::new("chroot");
            command.args([root.as_str(), tool]);
            command
        }
    }
}

/// Whether the tool is there; says so loudly when it is not.
fn have(tool: &str) -> bool {
    let found = command(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!(
            "SKIPPED: `{tool}` is not installed (apt-get install pacemaker-cli-utils): nothing was proven"
        );
    }
    found
}

fn run(command: &mut Command, stdin: &str) -> (i32, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// A CIB in a file of its own, as Pacemaker's tools see it.
struct CibFile(tempfile::TempDir);

impl CibFile {
    fn new(cib: &Cib) -> Self {
        let dir = match root() {
            None => tempfile::tempdir().unwrap(),
            Some(root) => tempfile::tempdir_in(format!("{root}/tmp")).unwrap(),
        };
        let file = Self(dir);
        std::fs::write(file.path(), cib.render()).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("cib.xml")
    }

    /// The path as the tools see it.
    fn inner_path(&self) -> PathBuf {
        let path = self.path();
        match root() {
            None => path,
            Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap()),
        }
    }

    fn tool(&self, tool: &str) -> Command {
        let mut command = command(tool);
        command.env("CIB_file", self.inner_path());
        command
    }

    fn patch(&self, request: &str) -> (i32, String) {
        run(self.tool("cibadmin").args(["--patch", "--xml-pipe"]), request)
    }

    fn read(&self) -> Cib {
        Cib::parse(&std::fs::read_to_string(self.path()).unwrap()).unwrap()
    }
}

fn configuration_of(cib: &Cib) -> String {
    cib.root().child("configuration").unwrap().render_pretty()
}

#[test]
fn cibadmin_makes_of_our_patch_what_we_say_it_makes() {
    if !have("cibadmin") {
        return;
    }
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, ..ProptestConfig::default() });
    let result = runner.run(&(configuration(), configuration()), |(old, new)| {
        let Some(patch) = patch_between(&old, &new, &nothing) else {
            prop_assert_eq!(configuration_of(&old), configuration_of(&new));
            return Ok(());
        };
        let file = CibFile::new(&old);
        let guard = Guard::Exact { num_updates: old.version().num_updates };
        let (code, text) = file.patch(&patch.request(guard, &nothing).unwrap());
        prop_assert_eq!(code, 0, "{}\n{}\n{:?}", text, patch.masked(), old);
        let (live, foreseen) = (file.read(), patch.apply(&old).unwrap());
        prop_assert_eq!(configuration_of(&live), configuration_of(&new), "{}", patch.masked());
        prop_assert_eq!(configuration_of(&foreseen), configuration_of(&new), "{}", patch.masked());
        prop_assert_eq!(live.version(), foreseen.version());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn crm_verify_accepts_what_the_constructors_make() {
    if !have("crm_verify") {
        return;
    }
    // With quorum and nodes, so that it is the configuration alone that is judged.
    let live = super::ownership::fresh_cluster();
    let cib = diff(&live, &everything(), &Ownership::default(), &nothing).unwrap().target;
    let file = CibFile::new(&cib);
    let (code, text) = run(command("crm_verify").args(["-V", "--xml-file"]).arg(file.inner_path()), "");
    assert_eq!((code, text.as_str()), (0, ""), "{cib:?}");
}

#[test]
fn a_first_apply_is_accepted_and_a_second_changes_nothing() {
    if !have("cibadmin") {
        return;
    }
    let (live, desired) = (super::ownership::fresh_cluster(), everything());
    let file = CibFile::new(&live);
    let first = diff(&live, &desired, &Ownership::default(), &nothing).unwrap();
    assert_eq!(first.conflicts, []);
    let patch = first.patch.unwrap();
    let (code, text) = file
        .patch(&patch.request(Guard::Exact { num_updates: live.version().num_updates }, &nothing).unwrap());
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(file.tool("crm_verify").args(["-V", "--live-check"]), "");
    assert_eq!(code, 0, "{text}");
    let second = diff(&file.read(), &desired, &Ownership::default(), &nothing).unwrap();
    assert!(second.is_empty(), "{:?} {:?}", second.changes, second.conflicts);
    // And nothing of ours is left when nothing is wanted.
    let nothing_wanted = Cib::empty("pacemaker-3.9");
    let last = diff(&file.read(), &nothing_wanted, &Ownership::default(), &nothing).unwrap();
    let version = file.read().version();
    let request =
        last.patch.unwrap().request(Guard::Exact { num_updates: version.num_updates }, &nothing).unwrap();
    let (code, text) = file.patch(&request);
    assert_eq!(code, 0, "{text}");
    assert_eq!(configuration_of(&file.read()), configuration_of(&live));
}

#[test]
fn the_guards_hold() {
    if !have("cibadmin") {
        return;
    }
    let old = super::ownership::fresh_cluster();
    let mut new = old.clone();
    new.set_property("maintenance-mode", "true");
    let patch = patch_between(&old, &new, &nothing).unwrap();
    let file = CibFile::new(&old);
    let now = old.version().num_updates;
    // A status update came between.
    let late = patch.request(Guard::Exact { num_updates: now - 1 }, &nothing).unwrap();
    assert_eq!(file.patch(&late).0, EXIT_OLD);
    assert_eq!(file.read(), old);
    // It does not matter to the looser guard, once.
    let loose = patch.request(Guard::Epoch, &nothing).unwrap();
    assert_eq!(file.patch(&loose).0, 0);
    // But a change of the configuration does, to either.
    assert_eq!(file.patch(&loose).0, EXIT_OLD);
    let live = file.read().version();
    assert!(patch.check(live).is_err());
    assert_eq!(
        file.patch(&patch.request(Guard::Exact { num_updates: live.num_updates }, &nothing).unwrap()).0,
        EXIT_OLD
    );
    // What would not be valid is refused as a whole.
    let current = file.read();
    let mut invalid = current.clone();
    invalid.put(Section::Resources, Element::new("primitive").with("id", "x"));
    let patch = patch_between(&current, &invalid, &nothing).unwrap();
    assert_eq!(file.patch(&patch.request(Guard::Epoch, &nothing).unwrap()).0, EXIT_SCHEMA);
    assert_eq!(file.read(), current);
}

#[test]
fn secrets_reach_the_cib_and_nothing_else() {
    if !have("cibadmin") {
        return;
    }
    let agent: build::Agent = "stonith:fence_ipmilan".parse().unwrap();
    let device = build::Primitive::new("fence-a", agent)
        .param("ip", "192.0.2.1")
        .param("password", marker("ipmi"))
        .param("options", format!("-k {} -v", marker("kg")));
    let mut desired = Cib::empty("pacemaker-3.9");
    desired.put(Section::Resources, device.build());
    let live = super::ownership::fresh_cluster();
    let file = CibFile::new(&live);
    let reveal = |name: &str| Some(format!("s3cret-{name}"));
    let first = diff(&live, &desired, &Ownership::default(), &reveal).unwrap();
    let patch = first.patch.clone().unwrap();
    let saved = serde_json::to_string(&patch).unwrap();
    let shown = format!("{first:?} {:?} {saved} {}", first.changes, patch.masked());
    assert!(!shown.contains("s3cret"), "{shown}");
    let patch: CibPatch = serde_json::from_str(&saved).unwrap();
    assert!(patch.request(Guard::Epoch, &nothing).is_err(), "an unknown secret is not sent as a marker");
    assert!(patch.request(Guard::Epoch, &|_| Some("two\nlines".to_owned())).is_err());
    assert_eq!(file.patch(&patch.request(Guard::Epoch, &reveal).unwrap()).0, 0);
    assert!(file.read().render().contains("value=\"-k s3cret-kg -v\""));
    let second = diff(&file.read(), &desired, &Ownership::default(), &reveal).unwrap();
    assert!(second.is_empty(), "{:?}", second.changes);
    // Changed by somebody: shown without the value, put back with it.
    let found = Cib::parse(&file.read().render().replace("s3cret-ipmi", "guessed")).unwrap();
    let third = diff(&found, &desired, &Ownership::default(), &reveal).unwrap();
    let shown = format!("{:?} {}", third, third.changes[0]);
    assert!(!shown.contains("guessed") && !shown.contains("s3cret"), "{shown}");
    assert_eq!(third.changes[0].fields.len(), 1);
    assert_eq!(third.changes[0].fields[0].new.as_deref(), Some("(secret ipmi)"));
}

/// Run by hand on a directory of CIBs, such as `cts/scheduler/xml` of Pacemaker's sources:
/// `HACTL_TEST_CIB_DIR=… cargo test -- --ignored corpus`.
#[test]
#[ignore = "needs a directory of CIBs"]
fn corpus() {
    let Ok(dir) = std::env::var("HACTL_TEST_CIB_DIR") else {
        eprintln!("SKIPPED: HACTL_TEST_CIB_DIR names no directory of CIBs: nothing was proven");
        return;
    };
    assert!(have("cibadmin"));
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut read, mut patched, mut before) = (0, 0, None::<Cib>);
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "xml")) {
        let text = std::fs::read_to_string(path).unwrap();
        let Ok(cib) = Cib::parse(&text) else {
            eprintln!("refused: {}: {:?}", path.display(), Cib::parse(&text).unwrap_err());
            continue;
        };
        assert_eq!(Cib::parse(&cib.render()).unwrap(), cib, "{}", path.display());
        read += 1;
        // The same attributes of the root, so that any two configurations can follow each other, valid or not.
        let mut root = cib.root().clone();
        root.attrs.clear();
        // Nothing above `<cib>` could be replaced to make or remove a comment right below it.
        root.children.retain(|node| node.as_element().is_some());
        for (name, value) in
            [("validate-with", "none"), ("epoch", "5"), ("num_updates", "6"), ("admin_epoch", "0")]
        {
            root.set(name, value);
        }
        let cib = Cib::from_element(root).unwrap();
        if let Some(old) = before.replace(cib.clone())
            && let Some(patch) = patch_between(&old, &cib, &nothing)
        {
            let file = CibFile::new(&old);
            let (code, text) = file.patch(&patch.request(Guard::Exact { num_updates: 6 }, &nothing).unwrap());
            assert_eq!(code, 0, "{}: {text}", path.display());
            let (live, foreseen) = (file.read(), patch.apply(&old).unwrap());
            // Attributes are compared as a set.
            let sorted = |cib: &Cib| {
                let mut root = cib.root().clone();
                super::properties::sort_attrs(&mut root);
                root.children
            };
            let differs = |found: &Cib| {
                let (found, wanted) = (sorted(found), sorted(&cib));
                found.iter().zip(&wanted).find(|(a, b)| a != b).map(|(a, b)| {
                    let (a, b) =
                        (a.as_element().unwrap().render_pretty(), b.as_element().unwrap().render_pretty());
                    let line = a.lines().zip(b.lines()).find(|(a, b)| a != b);
                    format!("{}: {line:?}", path.display())
                })
            };
            assert_eq!((differs(&live), differs(&foreseen)), (None, None));
            patched += 1;
        }
    }
    println!("{read} CIBs read and written, {patched} patched");
    assert!(read > 0);
}
