//! LINBIT's own `drbdadm` as the judge of what is read and written of drbd.conf: for each version of DRBD, what is written
//! here it reads as it reads the original. Where it is not installed its tests are named and skipped.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/harness.rs"]
mod harness;

use std::path::Path;
use std::process::Command;

use hactl::drbd::{DrbdConf, Entry, Generation, Resource, Section, Statement, Word};

const PAIR: &str = include_str!("fixtures/drbd/pair-8.4.conf");
const MESH: &str = include_str!("fixtures/drbd/mesh-9.conf");
const SYNCER: &str = include_str!("fixtures/drbd/syncer-8.3.conf");
const PROXY: &str = include_str!("fixtures/drbd/proxy-8.4.conf");

/// Versions of the kernel module for which drbdadm is asked, with the words it understands then.
const V83: &str = "8.3.16";
const V84: (&str, Generation) = ("8.4.11", Generation::V84);
const V9: (&str, Generation) = ("9.0.0", Generation::V9);

fn main() -> std::process::ExitCode {
    let test = |name, run| harness::with_tools(name, &[("drbdadm", "drbd-utils")], run);
    harness::run_tests(&[
        test("what_is_written_is_dumped_as_the_original", trees),
        test("typed_resources_are_dumped_as_the_original", typed),
        test("old_files_are_brought_up_to_date_as_drbdadm_does", modernised),
        test("dumps_are_read_as_the_file_they_are_of", dumps),
        test("values_of_all_kinds_arrive_unchanged", values),
        test("configurations_that_drbdadm_refuses_are_seen_as_such", refused),
    ])
}

/// What drbdadm makes of a file, on the host `alice`, without comments; or what it says against it.
fn dump(version: &str, text: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("drbd.conf");
    std::fs::write(&file, text).unwrap();
    dump_file(version, &file)
}

fn dump_file(version: &str, file: &Path) -> Result<String, String> {
    let output = Command::new("drbdadm")
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .env("DRBD_DRIVER_VERSION_OVERRIDE", version)
        .env("__DRBD_NODE__", "alice")
        .arg("-c")
        .arg(file)
        .arg("dump")
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    // drbdadm 8.4 says that these were left at their defaults.
    let said =
        |line: &&str| !line.trim_start().starts_with('#') && !line.trim_start().starts_with("cmd-timeout-");
    Ok(lines.lines().filter(said).collect::<Vec<_>>().join("\n"))
}

/// The fixtures with the versions of DRBD that they are for.
fn cases() -> Vec<(&'static str, &'static str)> {
    vec![
        (PAIR, V84.0),
        (PAIR, V9.0),
        (MESH, V9.0),
        (PROXY, V84.0),
        (PROXY, V9.0),
        (SYNCER, V83),
        (SYNCER, V84.0),
    ]
}

fn trees() {
    for (text, version) in cases() {
        let read = DrbdConf::parse(text).unwrap();
        assert_eq!(dump(version, &read.to_string()).unwrap(), dump(version, text).unwrap(), "DRBD {version}");
    }
}

/// The file with every resource read and written again as typed values.
fn typed_again(text: &str) -> String {
    let read = DrbdConf::parse(text).unwrap();
    let mut resources = read.resources().unwrap().into_iter();
    let entries = read.entries().iter().filter_map(|entry| match entry {
        Entry::Section(section) if section.skip => None,
        Entry::Section(section) if section.keyword.is("resource") => {
            Some(Entry::Section(resources.next().unwrap().to_section().unwrap()))
        }
        other => Some(other.clone()),
    });
    DrbdConf::from_entries(entries.collect()).to_string()
}

/// The resources of a dump. Where drbdadm puts a device without a volume number it says so, and otherwise not: as typed
/// values both are volume 0.
fn resources(dump: &str) -> Vec<Resource> {
    DrbdConf::parse(dump).unwrap().resources().unwrap()
}

fn typed() {
    for (text, version) in [(PAIR, V84.0), (PAIR, V9.0), (MESH, V9.0), (PROXY, V84.0), (PROXY, V9.0)] {
        let written = typed_again(text);
        let dumped =
            dump(version, &written).unwrap_or_else(|error| panic!("DRBD {version}: {error}\n{written}"));
        assert_eq!(resources(&dumped), resources(&dump(version, text).unwrap()), "DRBD {version}");
    }
}

fn modernised() {
    let old = DrbdConf::parse(SYNCER).unwrap();
    // drbdadm of 8.4 still reads the old words: what it makes of them is what must come out here.
    let modern = old.modernised(V84.1).conf.to_string();
    let sections = |dump: &str| {
        let conf = DrbdConf::parse(dump).unwrap();
        (conf.common(), conf.resources().unwrap())
    };
    let (ours, theirs) = (dump(V84.0, &modern).unwrap(), dump(V84.0, SYNCER).unwrap());
    assert_eq!(sections(&ours), sections(&theirs));
    // That of 9 does not.
    assert!(dump(V9.0, SYNCER).is_err());
    let modern = old.modernised(V9.1).conf.to_string();
    let dumped = dump(V9.0, &modern).unwrap_or_else(|error| panic!("{error}\n{modern}"));
    let r0 = &resources(&dumped)[0].sections;
    assert_eq!(r0.net.get("fencing").as_deref(), Some("resource-only"));
    assert_eq!(r0.disk.get("resync-rate").as_deref(), Some("10M"));
}

fn dumps() {
    for (text, version) in [(PAIR, V84.0), (MESH, V9.0), (SYNCER, V84.0)] {
        let once = dump(version, text).unwrap();
        let read = DrbdConf::parse(&once).unwrap();
        assert_eq!(dump(version, &read.to_string()).unwrap(), once, "DRBD {version}");
    }
}

/// Whatever stands in a secret: drbdadm reads it from what was written here, and what it writes is read here.
fn values() {
    let values = [
        "plain",
        "two words",
        "q\"uote",
        "back\\slash",
        "\\",
        "\"",
        "# no comment",
        "a;b{c}d",
        "ä",
        "tab\there",
        "yes",
        "no",
        "on",
        "4711",
        "10.0.0.1",
        "%",
        "'",
        "$HOME",
        "a:b",
        "[x]",
    ];
    let word = |text: &str| Word::bare(text).unwrap();
    for value in values {
        let mut resource = DrbdConf::parse(PAIR).unwrap().resources().unwrap().remove(0);
        resource.sections.net.set("shared-secret", value);
        let global = Section {
            skip: false,
            keyword: word("global"),
            names: Vec::new(),
            body: vec![
                Entry::Statement(Statement { keyword: word("disable-ip-verification"), values: Vec::new() }),
                Entry::Statement(Statement { keyword: word("usage-count"), values: vec![word("no")] }),
            ],
        };
        let entries = vec![Entry::Section(global), Entry::Section(resource.to_section().unwrap())];
        let written = DrbdConf::from_entries(entries).to_string();
        for (version, _) in [V84, V9] {
            let dumped = dump(version, &written).unwrap_or_else(|error| panic!("{value:?}: {error}"));
            let found = resources(&dumped)[0].sections.net.get("shared-secret");
            assert_eq!(found.as_deref(), Some(value), "DRBD {version}: {dumped}");
        }
    }
}

/// The judge judges: it is asked with what is wrong, too.
fn refused() {
    for text in ["resource r {", "resource r { on { } }", "resource r { wonder 1; }", "nonsense;"] {
        assert!(dump(V9.0, text).is_err(), "{text}");
    }
    assert!(DrbdConf::parse("resource r {").is_err());
}
