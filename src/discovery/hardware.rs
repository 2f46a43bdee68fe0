//! Processors and memory, from sysfs and procfs.

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::Hardware;

const NAME: &str = "hardware";
/// `/proc/meminfo` counts in these.
const KIB_BYTES: u64 = 1024;

/// Reads the list of processors that are online, and `MemTotal`; starts no process.
pub(super) struct HardwareProbe;

impl Probe for HardwareProbe {
    type Fact = Hardware;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "read -r cpus </sys/devices/system/cpu/online && read -r memory </proc/meminfo && \
         printf '%s\\n%s\\n' \"$cpus\" \"$memory\""
            .to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<Hardware, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let mut lines = text.lines();
        let cpus = lines.next().unwrap_or_default();
        let memory = lines.next().unwrap_or_default();
        Ok(Hardware {
            cpus: count_cpus(cpus)
                .ok_or_else(|| malformed(NAME, format!("`{cpus}` is no list of processors")))?,
            memory_bytes: memory_bytes(memory).ok_or_else(|| {
                malformed(NAME, format!("`{memory}` does not say how much memory there is"))
            })?,
        })
    }
}

/// How many processors a list such as `0-3,8` names.
fn count_cpus(list: &str) -> Option<u32> {
    let mut count: u32 = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// The bytes that a line such as `MemTotal: 2034 kB` names.
fn memory_bytes(line: &str) -> Option<u64> {
    let kib: u64 = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(KIB_BYTES)
}
