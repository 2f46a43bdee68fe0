//! What `wipefs --no-act` says: every signature with its offset, also those that blkid finds ambivalent.
//!
//! All devices are asked at once, as JSON; where that fails (an older wipefs, or one device that cannot be read) each is
//! asked alone, in the format for programs that all versions have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::escape::Escape;
use crate::discovery::probe::brief;
use crate::facts::Signature;

/// Signatures by device node, or why they are not known.
pub(super) type Found = BTreeMap<String, Result<Vec<Signature>, String>>;

/// Reads `all` and the JSON document, or for each device `one NODE CODE` and its lines.
pub(super) fn parse(text: &str, nodes: &[String]) -> Found {
    match text.split_once('\n') {
        Some(("all", document)) => match together(document) {
            Ok(rows) => nodes.iter().map(|node| (node.clone(), Ok(of(node, &rows)))).collect(),
            Err(why) => nodes.iter().map(|node| (node.clone(), Err(why.clone()))).collect(),
        },
        _ => alone(text),
    }
}

/// The device's name, as far as wipefs tells it, and a signature.
type Row = (String, Signature);

fn of(node: &str, rows: &[Row]) -> Vec<Signature> {
    let name = node.rsplit('/').next().unwrap_or(node);
    rows.iter().filter(|(device, _)| device == name).map(|(_, signature)| signature.clone()).collect()
}

fn together(document: &str) -> Result<Vec<Row>, String> {
    // Some versions print nothing where there is nothing.
    if document.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Value =
        serde_json::from_str(document).map_err(|error| brief(&format!("wipefs: {error}")))?;
    let rows = document
        .get("signatures")
        .and_then(Value::as_array)
        .ok_or("wipefs: there is no list of signatures")?;
    rows.iter().map(|row| json_row(row).ok_or_else(|| brief(&format!("wipefs: `{row}`")))).collect()
}

fn json_row(row: &Value) -> Option<Row> {
    let text =
        |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let signature = Signature {
        offset: Some(offset(&text("offset")?)?),
        kind: text("type")?,
        uuid: text("uuid"),
        label: text("label"),
    };
    Some((text("device")?, signature))
}

fn alone(text: &str) -> Found {
    let mut all = Found::new();
    let mut node = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split('\t').collect();
        if let ["one", name, code] = words[..] {
            name.clone_into(&mut node);
            let outcome =
                if code == "0" { Ok(Vec::new()) } else { Err(brief(&format!("wipefs: exit code {code}"))) };
            all.insert(node.clone(), outcome);
        } else if let Some(outcome) = all.get_mut(&node) {
            match (outcome.as_mut(), parsable_row(line)) {
                (Ok(found), Some(signature)) => found.push(signature),
                (Ok(_), None) => *outcome = Err(brief(&format!("wipefs: `{line}`"))),
                (Err(_), _) => {}
            }
        }
    }
    all
}

/// `0x438,UUID,LABEL,ext4`, with commas within a value encoded.
fn parsable_row(line: &str) -> Option<Signature> {
    let fields: Vec<String> = line.split(',').map(|field| Escape::Hex.decode(field)).collect();
    let [at, uuid, label, kind] = &fields[..] else { return None };
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Some(Signature { offset: Some(offset(at)?), kind: some(kind)?, uuid: some(uuid), label: some(label) })
}

fn offset(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
