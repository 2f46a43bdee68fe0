//! What the kernel's DRBD says of its volumes: `/proc/drbd` of 8.4, `drbdsetup status --json` of 9.
//!
//! In: text. Out: one [`VolumeStatus`] per minor. What is not understood is left out and so not up, never guessed.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Most characters of `/proc/drbd` or of the JSON that are read.
const MAX_STATUS_BYTES: usize = 1024 * 1024;
/// Disk and connection states are words of DRBD's own (drbd.conf(5), drbdsetup(8)).
const UP_TO_DATE: &str = "UpToDate";
const PRIMARY: &str = "Primary";
const STANDALONE: &str = "StandAlone";

/// One volume as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeStatus {
    /// Connection state: `Connected`, `SyncTarget`, `WFConnection` (9: `Connecting`), `StandAlone`.
    pub connection: String,
    /// This side's role.
    pub role: String,
    /// The peer's role.
    pub peer_role: String,
    /// This side's disk.
    pub disk: String,
    /// The peer's disk.
    pub peer_disk: String,
    /// How much differs between the sides, in KiB, where it is told.
    pub out_of_sync_kib: Option<u64>,
    /// How much of a resync is done, in tenths of a percent.
    pub done_permille: Option<u16>,
    /// How long a resync will take, as DRBD estimates it: `0:00:05`.
    pub finish: Option<String>,
    /// Whether requests are held back, as while a peer is fenced.
    pub suspended: bool,
    /// The volume's size in bytes, where it is told.
    pub bytes: Option<u64>,
}

impl VolumeStatus {
    /// Whether both sides are connected, also while one catches up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        !matches!(
            self.connection.as_str(),
            "" | "Unconfigured"
                | STANDALONE
                | "Disconnecting"
                | "Unconnected"
                | "Timeout"
                | "BrokenPipe"
                | "NetworkFailure"
                | "ProtocolError"
                | "TearDown"
                | "WFConnection"
                | "Connecting"
                | "WFReportParams"
        )
    }

    /// Whether this side gave up on its peer: by itself it will not connect again.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.connection == STANDALONE
    }

    /// Whether this side is Primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.role == PRIMARY
    }

    /// Whether this side's disk holds the newest data.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.disk == UP_TO_DATE
    }

    /// Whether both sides hold the same, newest data.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        self.connection == "Connected" && self.is_up_to_date() && self.peer_disk == UP_TO_DATE
    }

    /// Whether the volume has a disk here.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !matches!(self.disk.as_str(), "" | "Diskless" | "Failed" | "DUnknown")
    }

    /// What is between this and both sides being equal, in words; `None` when nothing is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.is_in_sync() {
            return None;
        }
        let disks = format!("{}/{}", self.disk, self.peer_disk);
        let Some(done) = self.done_permille else { return Some(format!("{} {disks}", self.connection)) };
        let left = self.finish.as_ref().map(|finish| format!(", {finish} left")).unwrap_or_default();
        Some(format!("{} {disks}, {}.{} % done{left}", self.connection, done / 10, done % 10))
    }
}

impl fmt::Display for VolumeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem() {
            None => write!(f, "{} {}/{}", self.connection, self.disk, self.peer_disk),
            Some(problem) => f.write_str(&problem),
        }
    }
}

/// Reads `/proc/drbd` of DRBD 8.4: the volumes by minor. Minors that are not configured are not there.
#[must_use]
pub fn parse_proc_drbd(text: &str) -> BTreeMap<u32, VolumeStatus> {
    let mut volumes: BTreeMap<u32, VolumeStatus> = BTreeMap::new();
    let mut current: Option<u32> = None;
    for line in text.get(..MAX_STATUS_BYTES).unwrap_or(text).lines() {
        let minor = line.trim_start().split_once(": cs:").and_then(|(minor, _)| minor.parse::<u32>().ok());
        if let Some(minor) = minor {
            current = (!line.contains("cs:Unconfigured")).then_some(minor);
        }
        let Some(volume) = current.map(|minor| volumes.entry(minor).or_default()) else { continue };
        read_line(line, volume);
    }
    volumes
}

fn read_line(line: &str, volume: &mut VolumeStatus) {
    for word in line.split_whitespace() {
        let pair = |text: &str| {
            text.split_once('/').map(|(own, peer)| (own.to_owned(), peer.to_owned())).unwrap_or_default()
        };
        match word.split_once(':') {
            Some(("cs", state)) => volume.connection = state.to_owned(),
            Some(("ro", roles)) => (volume.role, volume.peer_role) = pair(roles),
            Some(("ds", disks)) => (volume.disk, volume.peer_disk) = pair(disks),
            Some(("oos", kib)) => volume.out_of_sync_kib = kib.parse().ok(),
            _ => {}
        }
    }
    // The I/O flags stand behind the protocol: `r` runs, `s` is suspended.
    if line.contains(" ds:")
        && let Some(flags) = line.split_whitespace().last()
    {
        volume.suspended = flags.starts_with('s') || flags.get(1..).is_some_and(|rest| rest.contains('s'));
    }
    if let Some((_, rest)) = line.split_once("sync'ed:") {
        let percent = rest.trim_start().split('%').next().unwrap_or_default();
        volume.done_permille = permille(percent.trim());
    }
    if let Some((_, rest)) = line.split_once("finish:") {
        volume.finish = rest.split_whitespace().next().map(str::to_owned);
    }
}

fn permille(percent: &str) -> Option<u16> {
    let (whole, tenths) = percent.split_once('.').unwrap_or((percent, "0"));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 100)?;
    Some(whole * 10 + tenths.get(..1)?.parse::<u16>().ok()?)
}

/// Reads `drbdsetup status --json` of DRBD 9: the volumes by minor. A volume with several peers is told by the one that is
/// furthest from being in sync.
#[must_use]
pub fn parse_status_json(text: &str) -> BTreeMap<u32, VolumeStatus> {
    let resources: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let mut volumes = BTreeMap::new();
    for resource in &resources {
        for device in list(resource, "devices") {
            let Some(minor) =
                device.get("minor").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok())
            else {
                continue;
            };
            let number = device.get("volume");
            let mut status = VolumeStatus {
                role: word(resource, "role"),
                disk: word(device, "disk-state"),
                suspended: resource.get("suspended").and_then(Value::as_bool).unwrap_or(false),
                ..VolumeStatus::default()
            };
            let peers = list(resource, "connections").iter().map(|peer| with_peer(&status, peer, number));
            let peers: Vec<VolumeStatus> = peers.collect();
            if let Some(worst) = peers.into_iter().min_by_key(|peer| (peer.is_in_sync(), peer.is_connected()))
            {
                status = worst;
            }
            volumes.insert(minor, status);
        }
    }
    volumes
}

/// Reads `hactl replica status --json`: a volume and its name, told by the peer with a disk that is furthest from being in
/// sync. `None` for what is none.
#[must_use]
pub fn parse_replica_status(text: &str) -> Option<(String, VolumeStatus)> {
    let resource: Value = serde_json::from_str(text.get(..MAX_STATUS_BYTES).unwrap_or(text)).ok()?;
    let name = resource.get("name").and_then(Value::as_str)?.to_owned();
    let device = list(&resource, "devices").first()?;
    let base = VolumeStatus {
        role: word(&resource, "role"),
        disk: word(device, "disk-state"),
        suspended: resource.get("suspended").and_then(Value::as_bool).unwrap_or(false),
        bytes: device.get("size").and_then(Value::as_u64).and_then(|kib| kib.checked_mul(1024)),
        ..VolumeStatus::default()
    };
    let diskful = |peer: &&Value| {
        !list(peer, "peer_devices").iter().any(|device| device.get("peer-client") == Some(&Value::Bool(true)))
    };
    let peers = list(&resource, "connections").iter().filter(diskful);
    let status = peers
        .map(|peer| with_peer(&base, peer, device.get("volume")))
        .min_by_key(|peer| (peer.is_in_sync(), peer.is_connected()))
        .unwrap_or(base);
    Some((name, status))
}

fn with_peer(base: &VolumeStatus, peer: &Value, volume: Option<&Value>) -> VolumeStatus {
    let mut status = VolumeStatus {
        connection: word(peer, "connection-state"),
        peer_role: word(peer, "peer-role"),
        ..base.clone()
    };
    let Some(device) = list(peer, "peer_devices").iter().find(|device| device.get("volume") == volume) else {
        return status;
    };
    let replication = word(device, "replication-state");
    if !matches!(replication.as_str(), "" | "Off" | "Established") {
        status.connection = replication;
    }
    status.peer_disk = word(device, "peer-disk-state");
    status.out_of_sync_kib = device.get("out-of-sync").and_then(Value::as_u64);
    if status.connection != "Connected" && status.is_connected() {
        let percent = device.get("percent-in-sync").and_then(Value::as_f64);
        // Between 0 and 100 by its meaning; anything else is no progress.
        status.done_permille = percent.and_then(|percent| permille(&format!("{percent:.1}")));
    }
    status
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn word(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The generation identifiers of a volume's data on one side (`drbdadm get-gi`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generations {
    /// Identifies the data of now.
    pub current: u64,
    /// Identifies the data that the bitmap of changes is based on; 0 while the peer has everything.
    pub bitmap: u64,
    /// Earlier ones, younger first.
    pub history: [u64; 2],
    /// Whether the data is consistent in itself.
    pub consistent: bool,
}

/// What metadata that was just made has as its generation (drbd.h, `UUID_JUST_CREATED`).
const JUST_CREATED: u64 = 4;
/// The lowest bit says that the side is or was Primary; it does not belong to the identity.
const PRIMARY_BIT: u64 = 1;

impl Generations {
    /// Reads `current:bitmap:history:history:consistent:…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split(':');
        let mut hex = || u64::from_str_radix(fields.next()?, 16).ok();
        let (current, bitmap, history) = (hex()?, hex()?, [hex()?, hex()?]);
        Some(Self { current, bitmap, history, consistent: fields.next() == Some("1") })
    }

    /// Whether there never was any data.
    #[must_use]
    pub fn just_created(&self) -> bool {
        self.current == JUST_CREATED
    }

    /// The current generation as people write it.
    #[must_use]
    pub fn current_word(&self) -> String {
        format!("{:016X}", self.current & !PRIMARY_BIT)
    }

    /// Whether both sides went on by themselves from a common state: neither's data is a successor of the other's.
    #[must_use]
    pub fn diverged(&self, other: &Self) -> bool {
        let plain = |id: u64| id & !PRIMARY_BIT;
        let descends = |from: &Self, to: &Self| {
            plain(from.current) == plain(to.current)
                || plain(from.bitmap) == plain(to.current)
                || from.history.iter().any(|id| plain(*id) == plain(to.current))
        };
        !self.just_created() && !other.just_created() && !descends(self, other) && !descends(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROC: &str = include_str!("../../tests/fixtures/drbd/proc-8.4.txt");
    const REPLICA: &str = include_str!("../../tests/fixtures/drbd/status-replica.json");
    const JSON: &str = include_str!("../../tests/fixtures/drbd/status-9.json");

    #[test]
    fn volumes_of_8_4_are_read_from_proc() {
        let volumes = parse_proc_drbd(PROC);
        assert_eq!(volumes.keys().copied().collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(volumes[&0].problem(), None);
        assert!(volumes[&0].is_primary() && !volumes[&0].suspended);
        assert_eq!(
            volumes[&2].problem().unwrap(),
            "SyncTarget Inconsistent/UpToDate, 42.5 % done, 0:00:05 left"
        );
        assert!(volumes[&2].is_connected() && volumes[&2].is_attached());
        assert_eq!(volumes[&3].to_string(), "StandAlone UpToDate/DUnknown");
        assert!(volumes[&3].is_standalone() && !volumes[&3].is_connected() && volumes[&3].suspended);
    }

    #[test]
    fn volumes_of_9_are_read_from_json() {
        let volumes = parse_status_json(JSON);
        assert_eq!(volumes[&0].problem(), None);
        assert_eq!(volumes[&1].to_string(), "SyncSource UpToDate/Inconsistent, 51.2 % done");
        assert!(parse_status_json("{").is_empty());
    }

    #[test]
    fn a_volume_of_the_engine_is_told_by_its_peer_with_a_disk() {
        let (name, status) = parse_replica_status(REPLICA).unwrap();
        assert_eq!(
            (name.as_str(), status.role.as_str(), status.bytes),
            ("srv", "Primary", Some(268_390_400))
        );
        assert_eq!(status.to_string(), "SyncSource UpToDate/Inconsistent, 51.2 % done");
        assert!(parse_replica_status("{}").is_none() && parse_replica_status("").is_none());
    }

    #[test]
    fn sides_diverged_when_neither_descends_from_the_other() {
        let gi = |text| Generations::parse(text).unwrap();
        let common = gi("CE042D27E92AF922:0:0:0:1:1:0:1:0:0:0");
        let alone = gi("AA00000000000003:CE042D27E92AF922:0:0:1:1:1:0:0:0:0");
        let other = gi("BB00000000000005:CE042D27E92AF923:0:0:1:1:1:0:0:0:0");
        assert!(alone.diverged(&other) && other.diverged(&alone));
        assert!(!alone.diverged(&common) && !common.diverged(&alone) && !common.diverged(&common));
        let blank = gi("0000000000000004:0:0:0:0:0:0:0:0:0:0");
        assert!(blank.just_created() && !blank.diverged(&alone));
        assert_eq!(alone.current_word(), "AA00000000000002");
        assert_eq!(Generations::parse("CE042D27E92AF922:0:0"), None);
    }
}
