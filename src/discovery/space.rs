//! Free space where hactl and the package manager write: stat(1) of the file systems.
//!
//! Not df(1): it looks at every mount, and one dead NFS server would hold it up.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::probe::{Answer, Probe, ProbeError, brief, malformed};
use crate::facts::Space;

const NAME: &str = "stat --file-system";
/// Below these something is written; one that does not exist is left out.
const PATHS: &str = "/boot /etc /usr /var /var/cache /var/lib /var/log";
/// Time limit of the command in seconds.
const LIMIT_S: u32 = 5;

/// Runs `stat --file-system` on the folders.
pub(super) struct SpaceProbe;

impl Probe for SpaceProbe {
    type Fact = BTreeMap<Utf8PathBuf, Space>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        // Free blocks (%f), not those free to anybody (%a): what is written is written by root.
        format!("within {LIMIT_S} stat -f -c '%f %S %d %c %n' {PATHS}")
    }

    fn parse(&self, answer: &Answer) -> Result<Self::Fact, ProbeError> {
        if answer.timed_out() {
            return Err(answer.failure(NAME));
        }
        let complaint =
            |line: &&str| !line.trim().is_empty() && !line.ends_with(": No such file or directory");
        if let Some(line) = answer.stderr.lines().find(complaint) {
            return Err(ProbeError::Failed { probe: NAME, status: answer.status, reason: brief(line) });
        }
        let text = answer.text(NAME)?;
        let spaces = text
            .lines()
            .map(|line| space(line).ok_or_else(|| malformed(NAME, format!("`{line}`"))))
            .collect::<Result<Self::Fact, _>>()?;
        if spaces.is_empty() { Err(malformed(NAME, "it printed nothing")) } else { Ok(spaces) }
    }
}

fn space(line: &str) -> Option<(Utf8PathBuf, Space)> {
    let mut words = line.splitn(5, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (free, block, free_inodes, inodes) = (number()?, number()?, number()?, number()?);
    let path = words.next()?;
    // File systems without an inode table (btrfs) count 0 of 0: they do not run out of them.
    let available_inodes = if inodes == 0 { u64::MAX } else { free_inodes };
    Some((path.into(), Space { available_bytes: free.checked_mul(block)?, available_inodes }))
}
