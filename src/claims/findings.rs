//! Everything that is looked at before a device counts as free, in the order in which it is told.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use super::identity::{self, Identity};
use crate::facts::{BlockDevice, DeviceContent, DeviceUser, Fact, Signature};
use crate::inventory::{ByteSize, ClaimPolicy};

/// Kinds of device that never keep anybody's data, or whose data is another device's, whatever the policy says.
const NEVER: [&str; 8] = ["rom", "floppy", "ram", "zram", "drbd", "nbd", "ublk", "mtdblock"];
/// Programs that keep devices open to watch them; they matter only when they may write.
const WATCHERS: [&str; 6] = ["multipathd", "smartd", "systemd-udevd", "(udev-worker)", "udisksd", "lsblk"];
/// Where swap is "mounted".
const SWAP: &str = "[SWAP]";

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) seen: String,
    pub(super) weight: Weight,
}

/// What a finding says about using the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nothing against it.
    Clear,
    /// It is somebody's, or no device to keep data on.
    Foreign,
    /// It could not be determined.
    Unknown,
}

impl Finding {
    pub(super) fn clear(about: &'static str, seen: impl Into<String>) -> Self {
        Self { about, seen: seen.into(), weight: Weight::Clear }
    }

    pub(super) fn foreign(about: &'static str, seen: impl Into<String>) -> Self {
        Self { about, seen: seen.into(), weight: Weight::Foreign }
    }

    pub(super) fn unknown(about: &'static str, seen: impl Into<String>) -> Self {
        Self { about, seen: seen.into(), weight: Weight::Unknown }
    }

    pub(super) fn evidence(self) -> Evidence {
        Evidence { about: self.about.to_owned(), seen: self.seen, against: self.weight != Weight::Clear }
    }
}

/// Who lies on one device, directly or not.
pub(super) struct Users<'a> {
    device: &'a BlockDevice,
    /// Every device above it, in order of name.
    above: BTreeMap<&'a str, &'a BlockDevice>,
}

impl<'a> Users<'a> {
    pub(super) fn of(device: &'a BlockDevice, devices: &'a [BlockDevice]) -> Self {
        let mut above: BTreeMap<&str, &BlockDevice> = BTreeMap::new();
        let mut below = vec![device];
        while let Some(lower) = below.pop() {
            for upper in devices {
                let lies = upper.parents.contains(&lower.name) || lower.holders.contains(&upper.name);
                if lies && upper.name != device.name && above.insert(&upper.name, upper).is_none() {
                    below.push(upper);
                }
            }
        }
        Self { device, above }
    }

    /// Names of the devices directly on it.
    pub(super) fn on_it(&self) -> BTreeSet<&str> {
        let direct = self.above.values().filter(|upper| upper.parents.contains(&self.device.name));
        direct
            .map(|upper| upper.name.as_str())
            .chain(self.device.holders.iter().map(String::as_str))
            .collect()
    }

    fn mounts(&self) -> Vec<String> {
        let of = |device: &BlockDevice| device.mountpoints.clone();
        let mut seen: Vec<String> = of(self.device).iter().map(|at| use_words("it", at)).collect();
        for upper in self.above.values() {
            seen.extend(
                of(upper).iter().map(|at| use_words(&format!("{}, which lies on it,", upper.name), at)),
            );
        }
        seen
    }
}

fn use_words(what: &str, at: &str) -> String {
    if at == SWAP { format!("{what} is swap") } else { format!("{what} is mounted at {at}") }
}

/// A user of a device in words.
pub(super) fn user_words(user: &DeviceUser) -> String {
    match user.pid {
        Some(pid) => format!("{} (process {pid}) has it open", user.name),
        None => format!("{} lies on it", user.name),
    }
}

/// A signature in words; the first is what consent to lose it must say.
fn signature_words(signature: &Signature) -> String {
    let label = signature.label.as_ref().map(|label| format!(", label {label:?}")).unwrap_or_default();
    let place = signature.offset.map(|at| format!(" at byte {at}")).unwrap_or_default();
    format!("{}{place}{label}", signature.consent())
}

/// Every condition of a free device, for one device among those of its node.
pub(super) fn findings(
    device: &BlockDevice,
    devices: &[BlockDevice],
    policy: &ClaimPolicy,
    identity: &Identity,
) -> Vec<Finding> {
    let users = Users::of(device, devices);
    let mut all = vec![kind(device), multipath(device, devices)];
    all.extend(uses(&users));
    all.extend(contents(&device.content));
    all.extend([access(device), removable(device), allowed(device, policy), size(device, policy)]);
    all.push(of_identity(identity));
    all
}

fn kind(device: &BlockDevice) -> Finding {
    let kind = &device.device_type;
    match NEVER.contains(&kind.as_str()) {
        true => Finding::foreign("type", format!("{kind}: not a device to keep data on")),
        false => Finding::clear("type", kind),
    }
}

fn allowed(device: &BlockDevice, policy: &ClaimPolicy) -> Finding {
    let kind = &device.device_type;
    let types: Vec<&str> = policy.device_types.iter().map(String::as_str).collect();
    let types = types.join(", ");
    match policy.device_types.contains(kind) {
        true => Finding::clear("policy", format!("{kind} is among the device types of `claim_policy`")),
        false => Finding::foreign(
            "policy",
            format!("{kind} is not among the device types of `claim_policy` ({types})"),
        ),
    }
}

fn multipath(device: &BlockDevice, devices: &[BlockDevice]) -> Finding {
    match identity::map_over(device, devices) {
        Some(map) => Finding::foreign("multipath", format!("a path of the multipath map {}", map.path)),
        None => Finding::clear("multipath", "not a path of a map"),
    }
}

fn uses(users: &Users<'_>) -> Vec<Finding> {
    let mut all: Vec<Finding> =
        users.mounts().into_iter().map(|seen| Finding::foreign("mounted", seen)).collect();
    if all.is_empty() {
        all.push(Finding::clear("mounted", "not mounted, not swap, nor anything on it"));
    }
    let on_it: Vec<&str> = users.on_it().into_iter().collect();
    all.push(match on_it.as_slice() {
        [] => Finding::clear("holders", "nothing lies on it"),
        [one] => Finding::foreign("holders", format!("{one} lies on it")),
        several => Finding::foreign("holders", format!("{} lie on it", several.join(" and "))),
    });
    all
}

fn contents(content: &Fact<DeviceContent>) -> Vec<Finding> {
    let content = match content {
        Fact::Known(content) => content,
        Fact::Unknown(why) => return vec![Finding::unknown("content", why)],
    };
    let mut all: Vec<Finding> = Vec::new();
    for user in &content.users {
        let watches = !user.writes && WATCHERS.contains(&user.name.as_str());
        let weight = if watches { Weight::Clear } else { Weight::Foreign };
        all.push(Finding { about: "users", seen: user_words(user), weight });
    }
    if all.is_empty() {
        all.push(Finding::clear("users", "no process has it open"));
    }
    all.extend(content.signatures.iter().map(|found| Finding::foreign("signature", signature_words(found))));
    if content.signatures.is_empty() {
        all.push(Finding::clear("signature", "none found by wipefs, by blkid or by its bytes"));
    }
    all.push(match &content.busy {
        Some(why) => Finding::foreign("exclusive", format!("something holds it exclusively ({why})")),
        None => Finding::clear("exclusive", "it can be opened with O_EXCL"),
    });
    all
}

fn access(device: &BlockDevice) -> Finding {
    match device.read_only {
        true => Finding::foreign("access", "it is read-only"),
        false => Finding::clear("access", "it can be written to"),
    }
}

fn removable(device: &BlockDevice) -> Finding {
    match device.removable {
        true => Finding::foreign("removable", "it is removable"),
        false => Finding::clear("removable", "it is not removable"),
    }
}

fn size(device: &BlockDevice, policy: &ClaimPolicy) -> Finding {
    let size = ByteSize(device.size_bytes);
    if size < policy.minimum_size {
        let seen = format!("{size} is less than the {} of `claim_policy`", policy.minimum_size);
        return Finding::foreign("size", seen);
    }
    Finding::clear("size", size.to_string())
}

fn of_identity(identity: &Identity) -> Finding {
    match identity {
        Identity::Known(id, None) => Finding::clear("identity", id.to_string()),
        Identity::Known(id, Some(because)) => Finding::clear("identity", format!("{id}, because {because}")),
        // What it may be used for is another question than whether it is free: an accepted path needs no identity.
        Identity::None(why) => Finding::clear("identity", format!("none that lasts: {why}")),
        Identity::Shared(why) => Finding::unknown("identity", why),
    }
}
