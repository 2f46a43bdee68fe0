//! What real commands printed, and what each probe must make of it: data in `tests/fixtures/discovery`.
//!
//! A case is `<probe>/<case>.out` (stdout), `.err` (stderr, may be missing) and `.json`: the exit code, the
//! queries where the probe answers queries, and the expected fact. A new case needs no code; with
//! `UPDATE_FIXTURES=1` the expectations are written anew, to be reviewed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::batch;
use super::claim_ledger::ClaimLedgerProbe;
use super::clock::ClockProbe;
use super::hardware::HardwareProbe;
use super::ledger::LedgerProbe;
use super::links::LinksProbe;
use super::os_release::OsReleaseProbe;
use super::package_manager::PackageManagerProbe;
use super::probe::{Answer, Probe};
use super::space::SpaceProbe;
use super::storage::{ContentProbe, LsblkProbe, TreeProbe};
use super::uname::UnameProbe;
use crate::facts::{Fact, FileState, Observation};

/// How a probe is known to be named by its folder.
type Read = fn(&Answer) -> Value;

/// Every base probe by its folder; the folders of query probes hold queries in their cases.
const BASE_PROBES: &[(&str, Read)] = &[
    ("block_content", |answer| fact(&ContentProbe, answer)),
    ("block_tree", |answer| fact(&TreeProbe, answer)),
    ("claim_ledger", |answer| fact(&ClaimLedgerProbe, answer)),
    ("clock", |answer| fact(&ClockProbe, answer)),
    ("hardware", |answer| fact(&HardwareProbe, answer)),
    ("ledger", |answer| fact(&LedgerProbe, answer)),
    ("links", |answer| fact(&LinksProbe, answer)),
    ("lsblk", |answer| fact(&LsblkProbe, answer)),
    ("os_release", |answer| fact(&OsReleaseProbe, answer)),
    ("package_manager", |answer| fact(&PackageManagerProbe, answer)),
    ("space", |answer| fact(&SpaceProbe, answer)),
    ("uname", |answer| fact(&UnameProbe, answer)),
];
/// Folders whose cases hold queries.
const QUERY_PROBES: &[&str] = &["cluster", "file", "module", "package", "sysctl", "unit"];
/// Longest text that an expectation shows whole; of a longer one its length and first line.
const SHOWN_BYTES: usize = 200;

fn fact<P: Probe<Fact: serde::Serialize>>(probe: &P, answer: &Answer) -> Value {
    serde_json::to_value(Fact::from(probe.parse(answer))).expect("facts are JSON")
}

fn observations(queries: &Value, answer: &Answer) -> Value {
    let queries = serde_json::from_value(queries.clone()).expect("a list of queries");
    let seen = batch::batches(&queries).into_iter().flat_map(|batch| batch.read(&Ok(answer.clone())));
    seen.map(|(query, seen)| json!([query, observation(&seen)])).collect()
}

fn observation(seen: &Observation) -> Value {
    let shown = |text: &String| match text.lines().next() {
        Some(line) if text.len() > SHOWN_BYTES => {
            json!({ "bytes": text.len(), "first_line": line.chars().take(SHOWN_BYTES).collect::<String>() })
        }
        _ => json!(text),
    };
    match seen {
        Observation::File(None) | Observation::Package(None) | Observation::Text(None) => json!("absent"),
        Observation::File(Some(FileState { digest, mode, owner, group, modified_us, text })) => json!({
            "digest": digest, "mode": format!("{mode:04o}"), "owner": owner, "group": group,
            "modified_us": modified_us, "text": text.as_ref().map(shown),
        }),
        Observation::Package(Some(state)) => json!(state),
        Observation::Unit(state) => json!(state),
        Observation::Text(Some(text)) => json!({ "text": shown(text) }),
        Observation::Unknown(why) => json!({ "unknown": why }),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/discovery")
}

/// The cases of a probe, sorted.
pub(super) fn cases(probe: &str) -> Vec<PathBuf> {
    let folder = root().join(probe);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "out"))
        .collect();
    cases.sort();
    cases
}

fn check(case: &Path, read: impl Fn(&Value, &Answer) -> Value) -> Result<(), String> {
    let file = case.with_extension("json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut expected: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let answer = Answer {
        status: expected["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
        stdout: std::fs::read(case).map_err(|error| format!("{}: {error}", case.display()))?,
        stderr: std::fs::read_to_string(case.with_extension("err")).unwrap_or_default(),
    };
    let actual = read(&expected["queries"], &answer);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        expected["fact"] = actual;
        let text = serde_json::to_string_pretty(&expected).expect("JSON") + "\n";
        return std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()));
    }
    if expected["fact"] == actual {
        return Ok(());
    }
    let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    Err(format!(
        "{}:\n{}",
        case.display(),
        similar::TextDiff::from_lines(pretty(&expected["fact"]), pretty(&actual)).unified_diff()
    ))
}

#[test]
fn every_recorded_answer_is_read_as_expected() {
    let mut wrong = Vec::new();
    for (probe, read) in BASE_PROBES {
        wrong.extend(cases(probe).iter().filter_map(|case| check(case, |_, answer| read(answer)).err()));
    }
    for probe in QUERY_PROBES {
        wrong.extend(cases(probe).iter().filter_map(|case| check(case, observations).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_belongs_to_a_probe() {
    for entry in std::fs::read_dir(root()).expect("listed") {
        let name = entry.expect("listed").file_name().into_string().expect("UTF-8");
        assert!(
            BASE_PROBES.iter().any(|(probe, _)| *probe == name) || QUERY_PROBES.contains(&name.as_str()),
            "{name}"
        );
    }
}

/// Records what a machine answers now, one case per probe: `RECORD_FIXTURES=FOLDER RECORD_CASE=NAME
/// RECORD_SHELL='ssh n1 sh' cargo test --lib record -- --ignored`.
#[test]
#[ignore = "writes files; run it to record new cases"]
fn record() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (folder, case, shell) =
        (variable("RECORD_FIXTURES"), variable("RECORD_CASE"), variable("RECORD_SHELL"));
    let base = [
        "clock",
        "uname",
        "os_release",
        "hardware",
        "links",
        "space",
        "package_manager",
        "lsblk",
        "block_tree",
        "block_content",
        "ledger",
        "claim_ledger",
    ];
    let mut asked: Vec<(String, super::script::Question, Value)> = base
        .into_iter()
        .zip(super::base::questions())
        .map(|(name, q)| (format!("{name}/{case}"), q, json!([])))
        .collect();
    for (probe, name, queries) in super::properties::recorded_queries() {
        let batches = batch::batches(&queries);
        let question = batches.first().expect("one batch").question();
        let name = name.map_or(case.clone(), |name| format!("{name}_{case}"));
        asked.push((format!("{probe}/{name}"), question, json!(queries)));
    }
    for (name, question, queries) in asked {
        let script =
            super::script::render(std::slice::from_ref(&question), &super::script::Boundary::fixed("@B"));
        // Read whole before it runs, as in production: a script closes the stdin that it comes from.
        let script = format!("eval \"$(cat <<'@WHOLE'\n{script}\n@WHOLE\n)\"\n");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s' \"$0\" | {shell}"), &script])
            .output()
            .expect("the shell runs");
        let replies =
            super::frames::parse(&output.stdout, &super::script::Boundary::fixed("@B"), &[question]);
        let answer = replies.into_iter().next().and_then(Result::ok).expect("an answer");
        let path = Path::new(&folder).join(format!("{name}.out"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, &answer.stdout).expect("written");
        if !answer.stderr.is_empty() {
            std::fs::write(path.with_extension("err"), &answer.stderr).expect("written");
        }
        let expected = json!({ "status": answer.status, "queries": queries, "fact": null });
        std::fs::write(path.with_extension("json"), expected.to_string()).expect("written");
    }
}
