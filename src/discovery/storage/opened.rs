//! What `open.pl` and `open.py` say: which devices could be opened, the bytes at known places, and who has them open.

use std::collections::BTreeMap;

use super::magic;
use crate::discovery::probe::brief;
use crate::facts::{DeviceUser, Signature};

/// Longest name of a process that is kept, in characters.
const NAME_LIMIT_CHARS: usize = 32;

/// Everything that opening told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Opened {
    /// By device node.
    pub(super) devices: BTreeMap<String, Result<OpenedDevice, String>>,
    /// By device number.
    pub(super) users: BTreeMap<String, Vec<DeviceUser>>,
    /// Why the users are not known, if they are not.
    pub(super) blind: Option<String>,
}

/// A device that was opened and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenedDevice {
    /// Its number.
    pub(super) number: String,
    /// Its size in bytes.
    pub(super) size_bytes: u64,
    /// Why `O_EXCL` was refused.
    pub(super) busy: Option<String>,
    /// What was recognised by its bytes.
    pub(super) signatures: Vec<Signature>,
}

/// Reads the lines. Without the last one the list of users is not complete.
pub(super) fn parse(text: &str) -> Opened {
    let mut opened = Opened { blind: Some("the search did not finish".to_owned()), ..Opened::default() };
    let mut strange = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        match words[..] {
            ["open", node, ref rest @ ..] => {
                let device = device(rest).ok_or_else(|| brief(&format!("not understood: `{line}`")));
                opened.devices.insert(node.to_owned(), device);
            }
            ["fail", node, why] => drop(opened.devices.insert(node.to_owned(), Err(brief(why)))),
            ["user", number, name, pid, writes] => match user(name, pid, writes) {
                Some(user) => opened.users.entry(number.to_owned()).or_default().push(user),
                None => strange = Some(brief(&format!("not understood: `{line}`"))),
            },
            ["blind", why] => strange = Some(brief(why)),
            ["end"] => opened.blind = None,
            _ => strange = Some(brief(&format!("not understood: `{line}`"))),
        }
    }
    opened.blind = strange.or(opened.blind);
    for users in opened.users.values_mut() {
        users.sort();
        users.dedup();
    }
    opened
}

fn user(name: &str, pid: &str, writes: &str) -> Option<DeviceUser> {
    let pid = if pid.is_empty() { None } else { Some(pid.parse().ok()?) };
    let writes = match writes {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    Some(DeviceUser { name: name.chars().take(NAME_LIMIT_CHARS).collect(), pid, writes })
}

/// `NUMBER BUSY SIZE OFFSET=HEX…`.
fn device(words: &[&str]) -> Option<OpenedDevice> {
    let [number, busy, size, places @ ..] = words else { return None };
    let mut signatures = Vec::new();
    for place in places {
        let (offset, hex) = place.split_once('=')?;
        signatures.extend(magic::recognise(offset.parse().ok()?, &bytes(hex)?));
    }
    Some(OpenedDevice {
        number: (*number).to_owned(),
        size_bytes: size.parse().ok()?,
        busy: (!busy.is_empty()).then(|| brief(busy)),
        signatures,
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}
