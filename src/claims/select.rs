//! Which devices an explicit claim names.

use crate::facts::BlockDevice;
use crate::inventory::{ByteSize, DeviceClaim};

/// The devices that fit everything that the claim says. A disk and what lies on it under the same identity (its
/// partitions, the multipath map over its paths) are one device: the disk, and the map.
pub(super) fn matching<'a>(claim: &DeviceClaim, devices: &'a [BlockDevice]) -> Vec<&'a BlockDevice> {
    let fits: Vec<&BlockDevice> = devices.iter().filter(|device| fits(claim, device)).collect();
    // A path names one device; nothing else of the same disk is meant.
    if claim.path.is_some() {
        return fits;
    }
    let hidden = |device: &BlockDevice| {
        let path_of_map =
            fits.iter().any(|other| other.device_type == "mpath" && other.parents.contains(&device.name));
        let part_of_disk =
            device.device_type == "part" && fits.iter().any(|other| device.parents.contains(&other.name));
        path_of_map || part_of_disk
    };
    fits.iter().copied().filter(|device| !hidden(device)).collect()
}

fn fits(claim: &DeviceClaim, device: &BlockDevice) -> bool {
    let same = |wanted: &Option<String>, has: &Option<String>, plain: fn(&str) -> String| {
        wanted.as_ref().is_none_or(|wanted| {
            has.as_ref().is_some_and(|has| !plain(has).is_empty() && plain(has) == plain(wanted))
        })
    };
    let path = claim.path.as_ref().is_none_or(|path| {
        device.path == path.as_str() || device.links.iter().any(|link| link == path.as_str())
    });
    path && same(&claim.serial, &device.serial, |text| text.trim().to_owned())
        && same(&claim.wwn, &device.wwn, plain_name)
        && same(&claim.eui, &device.wwn, plain_name)
        && same(&claim.model, &device.model, words)
        && same(&claim.transport, &device.transport, str::to_ascii_lowercase)
        && claim.rotational.is_none_or(|wanted| device.rotational == Some(wanted))
        && claim.size.is_none_or(|size| size.matches(ByteSize(device.size_bytes)))
}

/// A world wide name without what says only which kind it is: `0x5000…`, `naa.5000…` and `5000…` are one name, as are
/// `eui.0025…` and `0025…`.
fn plain_name(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let kinds = ["0x", "naa.", "eui.", "uuid.", "nvme."];
    kinds.iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(&name).to_owned()
}

/// A model as a person writes it: udev puts `_` where the disk has a blank.
fn words(model: &str) -> String {
    model.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}
