//! Whether a device is still what a plan was made for. Pure.

use std::collections::BTreeSet;

use super::{JudgedDevice, judge};
use crate::facts::{BlockDevice, ClaimLedger, Signature, StableId};
use crate::inventory::{ByteSize, ClaimPolicy};
use crate::plan::DeviceGuard;

/// What may speak against a device that a plan writes to: what it holds (which the guard names), and where a bare name
/// was accepted, that it has no better one.
const ALLOWED: &str = "signature";

/// Compares a device with what the plan says of it: the same identity, the same size, the same content, used by nobody.
///
/// # Errors
/// What is different, in words.
pub fn recheck(guard: &DeviceGuard, devices: &[BlockDevice]) -> Result<(), String> {
    let path = &guard.path;
    let named: Vec<&BlockDevice> =
        devices.iter().filter(|device| device.path == *path || device.links.contains(path)).collect();
    let device = match named.as_slice() {
        [one] => *one,
        [] => return Err(format!("{path} is gone")),
        _ => return Err(format!("{path} names several devices now")),
    };
    // What the inventory and the ledger decide was decided when the plan was made: here counts what is.
    let policy = ClaimPolicy {
        minimum_size: ByteSize(0),
        device_types: BTreeSet::from([device.device_type.clone()]),
        ..ClaimPolicy::default()
    };
    let judged = judge(devices, &policy, Ok(&ClaimLedger::default()));
    let Some(judged) = judged.iter().find(|judged| judged.name == device.name) else {
        return Err(format!("{path} could not be judged"));
    };
    same_device(guard, device, judged)?;
    if device.size_bytes != guard.size_bytes {
        return Err(format!("{path} has {} bytes now, not {}", device.size_bytes, guard.size_bytes));
    }
    let content =
        device.content.as_result().map_err(|why| format!("{path} could not be looked at: {why}"))?;
    let holds: BTreeSet<String> = content.signatures.iter().map(Signature::consent).collect();
    if holds != guard.holds {
        return Err(format!("{path} holds {} now, not {}", words(&holds), words(&guard.holds)));
    }
    match judged.evidence.iter().find(|evidence| evidence.against && evidence.about != ALLOWED) {
        Some(evidence) => Err(format!("{path} is not free any more: {}", evidence.seen)),
        None => Ok(()),
    }
}

fn same_device(guard: &DeviceGuard, device: &BlockDevice, judged: &JudgedDevice) -> Result<(), String> {
    let same = judged.identity.as_ref() == Some(&guard.identity)
        || match &guard.identity {
            // A better identity may have turned up since the device was claimed.
            StableId::Path { link } => device.links.contains(link),
            StableId::Serial { serial, .. } => device.serial.as_ref() == Some(serial),
            StableId::Unstable { path } => device.path == *path || device.links.contains(path),
            StableId::Wwn { .. } => false,
        };
    if same {
        return Ok(());
    }
    let now = judged.identity.as_ref().map_or_else(|| "without identity".to_owned(), ToString::to_string);
    Err(format!("{} is another device now: {now}, not {}", guard.path, guard.identity))
}

fn words(holds: &BTreeSet<String>) -> String {
    if holds.is_empty() {
        return "nothing".to_owned();
    }
    holds.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}
