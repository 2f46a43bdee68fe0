//! Layouts of real machines and the verdicts on them: data in `tests/fixtures/claims`.
//!
//! A case is a folder with the answers that a node gave (`lsblk.out`, `tree.out`, `content.out`, with `␀` for NUL) or
//! with facts (`facts.json`: what is not said is a plain blank disk), the policy and the ledger where they matter
//! (`case.json`), and what must come out (`verdicts.txt`, written anew with `UPDATE_FIXTURES=1`, to be reviewed). A new
//! case needs no code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{claim_help, judge};
use crate::discovery::recorded_block_devices;
use crate::facts::{BlockDevice, ClaimLedger, Fact};
use crate::inventory::{ByteSize, ClaimPolicy};
use crate::names::NodeName;

/// What a device is of which nothing is said: 100 GiB.
const PLAIN_BYTES: u64 = 100 << 30;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claims")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root()).expect("the fixtures are there");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    cases.sort();
    cases
}

fn plain(device: &Value) -> Value {
    let name = device["name"].as_str().expect("every device has a name");
    let mut whole = json!({
        "path": format!("/dev/{name}"), "device_type": "disk", "size_bytes": PLAIN_BYTES, "read_only": false,
        "removable": false, "mountpoints": [], "parents": [], "holders": [], "links": [],
        "content": { "known": { "signatures": [] } },
    });
    for (key, value) in device.as_object().expect("a device is an object") {
        whole[key] = value.clone();
    }
    if let Some(known) = whole["content"].get_mut("known").and_then(Value::as_object_mut) {
        known.entry("signatures").or_insert_with(|| json!([]));
    }
    whole
}

fn devices(case: &Path) -> Vec<BlockDevice> {
    if let Ok(text) = std::fs::read_to_string(case.join("facts.json")) {
        let facts: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let devices: Vec<Value> = facts.as_array().expect("a list of devices").iter().map(plain).collect();
        return serde_json::from_value(devices.into())
            .unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    }
    let answer = |name: &str| {
        let file = case.join(format!("{name}.out"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.replace('␀', "\0").into_bytes()
    };
    match recorded_block_devices(&answer("lsblk"), &answer("tree"), &answer("content")) {
        Fact::Known(devices) => devices,
        Fact::Unknown(why) => panic!("{}: {why}", case.display()),
    }
}

fn settings(case: &Path) -> (ClaimPolicy, Result<ClaimLedger, String>) {
    let text = std::fs::read_to_string(case.join("case.json")).unwrap_or_else(|_| "{}".to_owned());
    let case: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    let mut policy = ClaimPolicy::default();
    if let Some(types) = case["device_types"].as_array() {
        policy.device_types = types.iter().map(|kind| kind.as_str().expect("a type").to_owned()).collect();
    }
    if let Some(bytes) = case["minimum_bytes"].as_u64() {
        policy.minimum_size = ByteSize(bytes);
    }
    let ledger = match (&case["ledger"], case["ledger_unknown"].as_str()) {
        (_, Some(why)) => Err(why.to_owned()),
        (Value::Null, None) => Ok(ClaimLedger::default()),
        (ledger, None) => Ok(serde_json::from_value(ledger.clone()).expect("a ledger")),
    };
    (policy, ledger)
}

/// Each device with what it is, everything against it, and below them what a person would be told.
fn verdicts(case: &Path) -> String {
    let devices = devices(case);
    let (policy, ledger) = settings(case);
    let judged = judge(&devices, &policy, ledger.as_ref().map_err(String::as_str));
    let mut text = String::new();
    for device in &judged {
        let identity = device.identity.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let _ = writeln!(text, "{}: {}\n  identity: {identity}", device.name, device.verdict.words());
        for evidence in device.evidence.iter().filter(|evidence| evidence.against) {
            let _ = writeln!(text, "  against, {}: {}", evidence.about, evidence.seen);
        }
    }
    let _ = write!(text, "\n{}", claim_help(&NodeName::new("alpha").expect("a name"), &judged));
    text
}

#[test]
fn every_layout_is_judged_as_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (file, actual) = (case.join("verdicts.txt"), verdicts(&case));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(&file, &actual).expect("written");
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if expected != actual {
            let diff = similar::TextDiff::from_lines(&expected, &actual).unified_diff().to_string();
            wrong.push(format!("{}:\n{diff}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
