//! What is on the devices: each is opened read-only and shown to wipefs(8) and blkid(8).
//!
//! Nothing is written, no cache is used or filled, nobody is woken: a device opened read-only causes no udev event.
//! Devices that can be no candidate by their kind are not opened: a DRBD device that is opened cannot be promoted
//! elsewhere, and one whose other end is a server or a process may not answer. `O_EXCL` needs a program that passes the
//! flag to open(2): Perl, which Debian always has, or Python.

use std::collections::BTreeMap;

use super::opened::{self, Opened};
use super::{blkid, wipefs};
use crate::discovery::probe::{Answer, Probe, ProbeError, malformed};
use crate::discovery::script::quote;
use crate::facts::{DeviceContent, DeviceUser, Fact, Signature};

const NAME: &str = "block device contents";
pub(super) const PERL: &str = include_str!("open.pl");
pub(super) const PYTHON: &str = include_str!("open.py");
/// Time limits of the three parts in seconds: together less than a script may take.
const OPEN_LIMIT_S: u32 = 16;
const WIPEFS_LIMIT_S: u32 = 10;
const BLKID_LIMIT_S: u32 = 12;
/// Time limit of wipefs for one device in seconds.
const ONE_LIMIT_S: u32 = 2;
/// What is said of a device that was not opened.
const NOT_OPENED: &str = "it was not opened: it is empty, or of a kind that holds no data of its own";
/// Names of kernel devices that are not opened: optical, floppy and memory disks, and the ends of other machines'.
const NOT_TO_OPEN: &str = "sr*|scd*|fd[0-9]*|ram[0-9]*|zram*|drbd*|nbd*|ublk*";

/// wipefs' name of the old partition table that stands before a GPT.
const PROTECTIVE: &str = "PMBR";

/// Opens every block device that may hold data.
pub(in crate::discovery) struct ContentProbe;

/// Contents and users of the devices that were opened.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(in crate::discovery) struct Contents {
    /// By kernel name.
    devices: BTreeMap<String, Result<Found, String>>,
    /// By device number; or why they are not known.
    users: Result<BTreeMap<String, Vec<DeviceUser>>, String>,
}

/// What was found on one device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Found {
    number: String,
    size_bytes: u64,
    busy: Option<String>,
    signatures: Vec<Signature>,
}

impl Probe for ContentProbe {
    type Fact = Contents;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        // Descriptor 4 brings back the nodes that answered; whoever hangs must hold none that the others wait for.
        format!(
            r#"opener() {{
if command -v perl >/dev/null && perl -MFcntl -MErrno -MPOSIX -e 1 2>/dev/null; then within {OPEN_LIMIT_S} perl -e {perl} "$@"; return; fi
for python in python3 /usr/libexec/platform-python; do
if command -v "$python" >/dev/null; then within {OPEN_LIMIT_S} "$python" -c {python} "$@"; return; fi
done
echo 'neither Perl nor Python is installed, and without them O_EXCL cannot be tried' >&2; return 9
}}
add() {{ n=$1; while case $n in *!*) :;; *) false;; esac; do n=${{n%%!*}}/${{n#*!}}; done; nodes="$nodes /dev/$n"; }}
nodes=
for d in /sys/block/*; do
case ${{d##*/}} in {NOT_TO_OPEN}) continue;; esac
read -r size 2>/dev/null <"$d/size" && [ "$size" != 0 ] || continue
add "${{d##*/}}"
for p in "$d/${{d##*/}}"*; do [ ! -e "$p/partition" ] || add "${{p##*/}}"; done
done
{{ good=$(opener $nodes 4>&1 >&5 3>&- 5>&-); }} 5>&1
status=$?
[ $status -eq 0 ] || exit $status
printf '\0'
[ "$good" ] || {{ printf '\0'; exit 0; }}
set -- $good
if x=$(within {WIPEFS_LIMIT_S} wipefs --no-act --json --output DEVICE,OFFSET,TYPE,UUID,LABEL "$@" 2>/dev/null); then
printf 'all\n%s\n' "$x"
else
for d; do x=$(within {ONE_LIMIT_S} wipefs --no-act --parsable "$d"); printf 'one\t%s\t%s\n%s\n' "$d" "$?" "$x"; done
fi
printf '\0'
within {BLKID_LIMIT_S} sh -c 'for d; do printf "blkid\t%s\n" "$d"; blkid -p -o udev "$d"; printf "status\t%s\n" "$?"; done' sh "$@" || :"#,
            perl = quote(PERL),
            python = quote(PYTHON),
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Contents, ProbeError> {
        let text = String::from_utf8_lossy(&answer.succeeded(NAME)?.stdout);
        let sections: Vec<&str> = text.split('\0').collect();
        let [opened, wipefs, blkid] = sections[..] else {
            return Err(malformed(NAME, format!("it has {} parts instead of 3", sections.len())));
        };
        Ok(Contents::of(opened::parse(opened), wipefs, blkid))
    }
}

impl Contents {
    fn of(opened: Opened, wipefs: &str, blkid: &str) -> Self {
        let nodes: Vec<String> = opened
            .devices
            .iter()
            .filter(|(_, device)| device.is_ok())
            .map(|(node, _)| node.clone())
            .collect();
        let mut wiped = wipefs::parse(wipefs, &nodes);
        let mut probed = blkid::parse(blkid);
        let mut found = |node: &str, device: opened::OpenedDevice| {
            let silent = |tool: &str| Err(format!("{tool} did not answer"));
            let wiped = wiped.remove(node).unwrap_or_else(|| silent("wipefs"))?;
            let probed = probed.remove(node).unwrap_or_else(|| silent("blkid"))?;
            Ok(Found {
                number: device.number,
                size_bytes: device.size_bytes,
                busy: device.busy,
                signatures: merge(wiped, probed, device.signatures),
            })
        };
        Self {
            devices: opened
                .devices
                .into_iter()
                .map(|(node, device)| (kernel_name(&node), device.and_then(|device| found(&node, device))))
                .collect(),
            users: match opened.blind {
                Some(why) => Err(format!("who has it open: {why}")),
                None => Ok(opened.users),
            },
        }
    }

    /// What is on the device with this name, number and size, as one fact.
    pub(super) fn of_device(&self, name: &str, number: &str, size_bytes: u64) -> Fact<DeviceContent> {
        self.look_up(name, number, size_bytes).into()
    }

    fn look_up(&self, name: &str, number: &str, size_bytes: u64) -> Result<DeviceContent, String> {
        let found =
            self.devices.get(name).ok_or_else(|| NOT_OPENED.to_owned())?.as_ref().map_err(Clone::clone)?;
        if found.number != number {
            return Err(format!("its node leads to device {}, but it is {number}", found.number));
        }
        if found.size_bytes != size_bytes {
            return Err(format!("it had {size_bytes} bytes and then {}", found.size_bytes));
        }
        let users = self.users.as_ref().map_err(Clone::clone)?;
        Ok(DeviceContent {
            signatures: found.signatures.clone(),
            busy: found.busy.clone(),
            users: users.get(number).cloned().unwrap_or_default(),
        })
    }
}

/// `/dev/cciss/c0d0` is called `cciss!c0d0` by the kernel.
fn kernel_name(node: &str) -> String {
    node.strip_prefix("/dev/").unwrap_or(node).replace('/', "!")
}

/// Everything that any of the three recognised, once.
fn merge(wiped: Vec<Signature>, probed: Vec<Signature>, own: Vec<Signature>) -> Vec<Signature> {
    let mut all = wiped;
    for signature in probed.into_iter().chain(own) {
        let mut known = false;
        for same in all.iter_mut().filter(|same| same.kind == signature.kind) {
            // The tools agree on what it is; one of them may not say which.
            same.uuid = same.uuid.take().or_else(|| signature.uuid.clone());
            same.label = same.label.take().or_else(|| signature.label.clone());
            known = true;
        }
        if !known {
            all.push(signature);
        }
    }
    // What protects a partition table from tools that do not know it tells less than the table itself.
    all.sort_by(|a, b| (a.kind == PROTECTIVE, a).cmp(&(b.kind == PROTECTIVE, b)));
    all.dedup();
    all
}
