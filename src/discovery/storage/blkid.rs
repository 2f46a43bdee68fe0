//! What `blkid -p -o udev` says: the low-level probe, which uses no cache.

use std::collections::BTreeMap;

use super::escape::Escape;
use crate::discovery::probe::brief;
use crate::facts::Signature;

/// Exit code when nothing was found (blkid(8)).
const NOTHING: &str = "2";
/// Exit code when several were found that exclude each other.
const AMBIVALENT: &str = "8";
/// What such a device is said to hold.
pub(super) const AMBIVALENT_KIND: &str = "ambivalent";

/// Signatures by device node, or why they are not known. Each device stands between `blkid NODE` and `status CODE`.
pub(super) fn parse(text: &str) -> BTreeMap<String, Result<Vec<Signature>, String>> {
    let mut all = BTreeMap::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        match line.split_once('\t') {
            Some(("blkid", node)) => {
                // Overwritten when its end comes.
                all.insert(node.to_owned(), Err("blkid did not finish".to_owned()));
                open = Some((node.to_owned(), Vec::new()));
            }
            Some(("status", code)) => {
                if let Some((node, lines)) = open.take() {
                    all.insert(node, signatures(code, &lines));
                }
            }
            _ => open.iter_mut().for_each(|(_, lines)| lines.push(line)),
        }
    }
    all
}

fn signatures(status: &str, lines: &[&str]) -> Result<Vec<Signature>, String> {
    let values: BTreeMap<&str, String> = lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key, Escape::Hex.decode(value)))
        .collect();
    let value = |key: &str| values.get(key).filter(|value| !value.is_empty()).cloned();
    let one = |kind: &str, uuid: &[&str], label: &str| {
        Some(Signature {
            offset: None,
            kind: value(kind)?,
            uuid: uuid.iter().find_map(|key| value(key)),
            label: value(label),
        })
    };
    let mut found: Vec<Signature> = [
        one("ID_FS_TYPE", &["ID_FS_UUID_ENC", "ID_FS_UUID"], "ID_FS_LABEL_ENC"),
        one("ID_PART_TABLE_TYPE", &["ID_PART_TABLE_UUID"], ""),
    ]
    .into_iter()
    .flatten()
    .collect();
    match status {
        "0" | NOTHING => {}
        AMBIVALENT => {
            let label = value("ID_FS_AMBIVALENT");
            found.push(Signature { offset: None, kind: AMBIVALENT_KIND.to_owned(), uuid: None, label });
        }
        other => return Err(brief(&format!("blkid: exit code {other}"))),
    }
    Ok(found)
}
