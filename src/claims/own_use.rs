//! Whether those who use a claimed device are the ones that it was claimed for.

use super::findings::Users;
use crate::facts::{BlockDevice, DeviceContent};

/// Kernel names of DRBD's devices begin so.
const DRBD: &str = "drbd";

/// Who may use a device by the kind of its purpose (`filesystem` in `filesystem:data`).
struct OwnUse {
    kind: &'static str,
    /// It may be mounted.
    mounted: bool,
    /// What may lie on it: kernel names begin so.
    holders: &'static [&'static str],
    /// Processes that may have it open.
    processes: &'static [&'static str],
}

const OWN_USES: [OwnUse; 4] = [
    OwnUse { kind: "filesystem", mounted: true, holders: &[], processes: &[] },
    OwnUse { kind: "drbd", mounted: false, holders: &[DRBD], processes: &[] },
    OwnUse { kind: "sbd", mounted: false, holders: &[], processes: &["sbd"] },
    OwnUse { kind: "replica", mounted: false, holders: &["ublkb", "nbd"], processes: &["hactl"] },
];

/// The first use of a claimed device that is not that of its purpose, in words.
pub(super) fn strange_use(
    purpose: &str,
    device: &BlockDevice,
    content: &DeviceContent,
    users: &Users<'_>,
) -> Option<String> {
    let kind = purpose.split(':').next().unwrap_or(purpose);
    let own = OWN_USES.iter().find(|own| own.kind == kind);
    let mounted = !device.mountpoints.is_empty();
    if mounted && !own.is_some_and(|own| own.mounted) {
        return Some(format!("it is mounted at {}", device.mountpoints.join(" and ")));
    }
    let fits = |name: &str, prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let holders = users.on_it();
    if let Some(holder) = holders.iter().find(|name| !own.is_some_and(|own| fits(name, own.holders))) {
        return Some(format!("{holder} lies on it"));
    }
    let is_own = |name: &str| own.is_some_and(|own| own.processes.contains(&name));
    if let Some(user) = content.users.iter().find(|user| user.writes && !is_own(&user.name)) {
        return Some(super::findings::user_words(user));
    }
    let busy = content.busy.as_ref()?;
    let drbd_has_it = kind == DRBD && content.signatures.iter().any(|signature| signature.kind == DRBD);
    let explained =
        mounted || !holders.is_empty() || drbd_has_it || content.users.iter().any(|user| is_own(&user.name));
    (!explained).then(|| format!("something holds it exclusively ({busy})"))
}
