//! Which device is which: identities that last and belong to one device of the node only.
//!
//! In order: world wide name (or the EUI or NGUID of an NVMe namespace), model and serial number, the place where it is
//! plugged in. A multipath map has the identity of its paths; a partition never has that of its disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{BlockDevice, StableId};

/// Types of devices that the device mapper makes: a name below `/dev/mapper` is theirs for ever.
const MAPS: [&str; 3] = ["mpath", "lvm", "crypt"];
const MULTIPATH: &str = "mpath";
const PARTITION: &str = "part";

const BY_ID: &str = "/dev/disk/by-id/";
const BY_PATH: &str = "/dev/disk/by-path/";
const BY_PARTUUID: &str = "/dev/disk/by-partuuid/";
const MAPPER: &str = "/dev/mapper/";
/// Links below by-id that follow what is written on the device and not the device.
const OF_CONTENT: [&str; 3] = ["lvm-pv-uuid-", "md-name-", "dm-name-"];
/// Links below by-id that are made of a world wide name.
const OF_WWN: [&str; 6] = ["wwn-", "nvme-eui.", "nvme-uuid.", "nvme-nvme.", "scsi-3", "dm-uuid-"];

/// What a device is called for ever, or why it has no such name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// It has one; with what speaks against better ones, in words.
    Known(StableId, Option<String>),
    /// It has none.
    None(String),
    /// Another device claims to be the same one.
    Shared(String),
}

impl Identity {
    pub(super) fn stable(&self) -> Option<&StableId> {
        match self {
            Self::Known(id, _) => Some(id),
            Self::None(_) | Self::Shared(_) => None,
        }
    }
}

/// The identities of all devices of a node.
pub(super) struct Identities<'a> {
    devices: BTreeMap<&'a str, &'a BlockDevice>,
    /// Which devices, by name, have a world wide name; the paths of a map count as the map.
    by_wwn: BTreeMap<String, BTreeSet<&'a str>>,
    /// The same for serial numbers, whatever the model.
    by_serial: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Identities<'a> {
    pub(super) fn of(devices: &'a [BlockDevice]) -> Self {
        let mut identities = Self {
            devices: devices.iter().map(|device| (device.name.as_str(), device)).collect(),
            by_wwn: BTreeMap::new(),
            by_serial: BTreeMap::new(),
        };
        for device in devices.iter().filter(|device| device.device_type != PARTITION) {
            let owner = map_over(device, devices).map_or(device.name.as_str(), |map| map.name.as_str());
            if let Some(wwn) = wwn(device) {
                identities.by_wwn.entry(wwn).or_default().insert(owner);
            }
            if let Some(serial) = &device.serial {
                identities.by_serial.entry(serial).or_default().insert(owner);
            }
        }
        identities
    }

    /// The identity of one of them.
    pub(super) fn identify(&self, device: &BlockDevice) -> Identity {
        if device.device_type == PARTITION {
            return place(device, None);
        }
        let others = |names: Option<&BTreeSet<&str>>| -> Vec<String> {
            let own = |name: &&str| **name == *device.name || self.is_path_of(device, name);
            names.into_iter().flatten().filter(|name| !own(name)).map(|name| (*name).to_owned()).collect()
        };
        if let Some(wwn) = self.inherited(device, wwn) {
            let others = others(self.by_wwn.get(&wwn));
            if !others.is_empty() {
                let why = "one device reached twice without multipath, or a copy";
                return Identity::Shared(format!(
                    "{} has the same world wide name {wwn}: {why}",
                    others.join(" and ")
                ));
            }
            return Identity::Known(StableId::Wwn { wwn }, None);
        }
        let Some(serial) = self.inherited(device, |device| device.serial.clone()) else {
            return place(device, None);
        };
        let others = others(self.by_serial.get(serial.as_str()));
        if others.is_empty() {
            let model = self.inherited(device, |device| device.model.clone()).unwrap_or_default();
            return Identity::Known(StableId::Serial { model, serial }, None);
        }
        place(device, Some(format!("{} has the same serial number {serial}", others.join(" and "))))
    }

    /// Whether this device is what the identity, recorded earlier, is for.
    pub(super) fn is(&self, device: &BlockDevice, identity: &StableId) -> bool {
        if let StableId::Unstable { path } = identity {
            return device.path == *path || device.links.contains(path);
        }
        if self.identify(device).stable() == Some(identity) {
            return true;
        }
        // A better identity may have turned up since; the recorded one is still its own.
        match identity {
            StableId::Path { link } => device.links.contains(link),
            StableId::Serial { model, serial } if device.device_type != PARTITION => {
                let alone = self.by_serial.get(serial.as_str()).is_some_and(|names| names.len() == 1);
                let has = |device: &BlockDevice| {
                    (device.serial.as_ref() == Some(serial)).then(|| device.model.clone().unwrap_or_default())
                };
                alone
                    && map_over(device, self.devices.values().copied()).is_none()
                    && self.inherited(device, has).as_ref() == Some(model)
            }
            _ => false,
        }
    }

    /// Whether this device claims to be what the identity is for, be it alone with that or not.
    pub(super) fn may_be(&self, device: &BlockDevice, identity: &StableId) -> bool {
        let whole = device.device_type != PARTITION;
        match identity {
            StableId::Wwn { wwn: recorded } => {
                whole && self.inherited(device, wwn).as_ref() == Some(recorded)
            }
            StableId::Serial { model, serial } => {
                let has = |device: &BlockDevice| device.serial.clone();
                let called = self.inherited(device, |device| device.model.clone()).unwrap_or_default();
                whole && self.inherited(device, has).as_ref() == Some(serial) && called == *model
            }
            StableId::Path { .. } | StableId::Unstable { .. } => self.is(device, identity),
        }
    }

    /// The best name of a device to write into an inventory: one that a person recognises, made of what identifies it.
    pub(super) fn best_link(&self, device: &BlockDevice, identity: &Identity) -> Option<String> {
        let names = || {
            let by_id = device.links.iter().filter_map(|link| Some((link, link.strip_prefix(BY_ID)?)));
            by_id.filter(|(_, name)| !OF_CONTENT.iter().any(|prefix| name.starts_with(prefix)))
        };
        let of_wwn = |name: &str| OF_WWN.iter().any(|prefix| name.starts_with(prefix));
        let of_serial = || {
            let serial = device.serial.as_deref()?;
            // Where another disk has the same number, the link leads to whichever was found last.
            let own = self.by_serial.get(serial).is_some_and(|names| names.len() == 1);
            names().find(|(_, name)| own && name.contains(serial) && !of_wwn(name))
        };
        let link = match identity {
            Identity::Known(StableId::Path { link }, _) => return Some(link.clone()),
            Identity::Known(StableId::Serial { .. }, _) => of_serial(),
            // A name made of the serial number is easier to recognise.
            Identity::Known(StableId::Wwn { .. }, _) => {
                of_serial().or_else(|| names().find(|(_, name)| of_wwn(name)))
            }
            Identity::Known(StableId::Unstable { .. }, _) | Identity::None(_) | Identity::Shared(_) => None,
        };
        link.map(|(link, _)| link.clone())
    }

    /// A property of the device; a map has what all its paths have in common.
    fn inherited(
        &self,
        device: &BlockDevice,
        property: impl Fn(&BlockDevice) -> Option<String>,
    ) -> Option<String> {
        if let Some(own) = property(device) {
            return Some(own);
        }
        if device.device_type != MULTIPATH {
            return None;
        }
        let paths = device.parents.iter().filter_map(|name| self.devices.get(name.as_str()));
        let values: BTreeSet<Option<String>> = paths.map(|path| property(path)).collect();
        match values.len() {
            1 => values.into_iter().next().flatten(),
            _ => None,
        }
    }

    /// Whether the other one is a path of the same map as this path, or its map, or its path.
    fn is_path_of(&self, device: &BlockDevice, other: &str) -> bool {
        let all = || self.devices.values().copied();
        map_over(device, all()).is_some_and(|map| map.name == other)
            || (device.device_type == MULTIPATH && device.parents.iter().any(|path| path == other))
    }
}

/// The multipath map whose path this device is.
pub(super) fn map_over<'a>(
    device: &BlockDevice,
    devices: impl IntoIterator<Item = &'a BlockDevice>,
) -> Option<&'a BlockDevice> {
    devices.into_iter().find(|map| {
        map.device_type == MULTIPATH
            && (map.parents.contains(&device.name) || device.holders.contains(&map.name))
            && map.name != device.name
    })
}

fn wwn(device: &BlockDevice) -> Option<String> {
    device.wwn.as_ref().map(|wwn| wwn.to_ascii_lowercase())
}

/// Known by where it is, because of what is better does not hold.
fn place(device: &BlockDevice, because: Option<String>) -> Identity {
    let folders: &[&str] = match device.device_type.as_str() {
        PARTITION => &[BY_PARTUUID],
        kind if MAPS.contains(&kind) => &[MAPPER],
        _ => &[BY_PATH],
    };
    let link = device.links.iter().find(|link| folders.iter().any(|folder| link.starts_with(folder)));
    match (link, because) {
        (Some(link), because) => Identity::Known(StableId::Path { link: link.clone() }, because),
        (None, Some(because)) => Identity::None(format!("{because}, and there is no by-path link")),
        (None, None) => Identity::None("it has no world wide name, serial number or by-path link".to_owned()),
    }
}
