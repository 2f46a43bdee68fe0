//! What the kernel's DRBD and its tools say: the module, the volumes, and for one volume what its disk holds.
//!
//! Read-only: `/proc`, `drbdsetup status`, `get-gi` and `drbdadm --dry-run`. The disk is read past the page cache, because
//! DRBD writes past it: what an earlier look left in the cache of the backing device is old.

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError};
use super::script::quote;
use crate::facts::{DrbdQuery, Observation, Query};

const NAME: &str = "DRBD";
/// Time limit of each of DRBD's tools in seconds.
const LIMIT_S: u32 = 5;
/// How much of a volume's beginning is looked at, in bytes: the superblocks of ext4 and XFS lie in it.
const HEAD_BYTES: u32 = 4096;

/// Asks for the version of the module; absent where the running kernel has none.
pub(super) struct DrbdModuleProbe;

impl Probe for DrbdModuleProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "if [ -r /sys/module/drbd/version ]; then cat /sys/module/drbd/version\n\
         elif command -v modinfo >/dev/null; then modinfo -F version drbd 2>/dev/null || :; fi"
            .to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let version = answer.succeeded(NAME)?.text(NAME)?.trim();
        let seen = (!version.is_empty()).then(|| version.to_owned());
        Ok(Observations::from([(Query::DrbdModule, Observation::Text(seen))]))
    }
}

/// Asks how all volumes are, or all about one.
pub(super) struct DrbdProbe(pub(super) Option<DrbdQuery>);

/// All volumes: their names, and the kernel's own report.
const STATUS: &str = r#"
version=
if [ -r /sys/module/drbd/version ]; then read -r version </sys/module/drbd/version; fi
if [ -n "$version" ]; then
    echo "module $version"
    # A link with the resource's name; with several volumes, a folder of that name with a link for each.
    for link in /dev/drbd/by-res/* /dev/drbd/by-res/*/*; do
        dev=$(readlink -e -- "$link") || continue
        name=${link#/dev/drbd/by-res/}
        if [ -b "$dev" ]; then echo "name ${dev##*/drbd} ${name%%/*}"; fi
    done
    case $version in
        8.*) sed 's/^/proc /' /proc/drbd || exit 1 ;;
        *) within 5 drbdsetup status --json >/dev/null 2>&1 && within 5 drbdsetup status --json | sed 's/^/json /' ;;
    esac
fi
"#;

/// One volume; `$volume`, `$minor` and `$disk` are set.
const DETAILS: &str = r#"
case $version in
    8.*) configured=$(grep -E "^ *$minor: cs:" /proc/drbd | grep -v cs:Unconfigured) ;;
    *) configured=$([ -n "$version" ] && [ -e "/sys/block/drbd$minor" ] && echo yes) ;;
esac
gi=
if command -v drbdadm >/dev/null; then
    if [ -n "$configured" ]; then
        case $version in
            8.*) gi=$(within 5 drbdsetup get-gi "$minor" 2>/dev/null) ;;
            *) gi=$(within 5 drbdadm get-gi "$volume" 2>/dev/null) ;;
        esac
    elif [ -e "$disk" ]; then
        # The metadata of 9 has a generation for each peer: drbdadm knows which one is meant.
        case $version in
            9.*) gi=$(within 5 drbdadm get-gi "$volume" 2>/dev/null) ;;
            *) gi=$(within 5 drbdmeta "$minor" v08 "$disk" internal get-gi 2>/dev/null) ;;
        esac
    fi
    # What is there to be done, without its arguments: they hold the secret.
    if [ -e "/etc/drbd.d/$volume.res" ]; then
        within 5 drbdadm --dry-run adjust "$volume" 2>/dev/null | awk '{ print "adjust", $1, $2 }'
    fi
fi
if [ -n "$gi" ]; then echo "gi $gi"; fi
if [ -e "$disk" ]; then
    bytes=$(blockdev --getsize64 "$disk") || exit 1
    echo "disk $bytes"
    head=$(dd if="$disk" iflag=direct bs=4096 count=1 status=none | od -An -v -tx1 | tr -d ' \n') || exit 1
    echo "head $head"
fi
if [ -r "/sys/block/drbd$minor/size" ]; then
    read -r sectors <"/sys/block/drbd$minor/size"
    echo "device $sectors"
    number=$(cat "/sys/block/drbd$minor/dev")
    awk -v number="$number" '$3 == number { print "user mounted at", $5 }' /proc/self/mountinfo
    find /proc/[0-9]*/fd -lname "/dev/drbd$minor" 2>/dev/null | sed 's|^/proc/||; s|/.*||' | sort -u | while read -r pid; do
        if read -r name <"/proc/$pid/comm"; then echo "user $name, process $pid"; fi
    done
    ls "/sys/block/drbd$minor/holders" | sed 's/^/user /'
fi
:
"#;

impl Probe for DrbdProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        debug_assert!(STATUS.contains(&format!("within {LIMIT_S} ")));
        debug_assert!(DETAILS.contains(&format!("bs={HEAD_BYTES} ")));
        let details = self.0.as_ref().and_then(|query| Some((query, query.device.as_ref()?)));
        match details {
            None => STATUS.to_owned(),
            Some((query, device)) => format!(
                "volume={} minor={} disk={}\n{STATUS}{DETAILS}",
                quote(&query.volume),
                query.minor,
                quote(device)
            ),
        }
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?.to_owned();
        let query = self.0.clone().map_or(Query::DrbdStatus, Query::Drbd);
        Ok(Observations::from([(query, Observation::Text(Some(text)))]))
    }
}
