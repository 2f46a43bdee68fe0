//! What those who replicate say: DRBD's module, the volumes, and for one volume what its disk holds.
//!
//! Read-only: `/proc`, `drbdsetup status`, `get-gi`, `drbdadm --dry-run`, `hactl replica status`. The disk is read past the
//! page cache, because the engines write past it: what an earlier look left in the cache of the backing device is old.

use super::batch::Observations;
use super::holders::{HOLDERS, parse_holders};
use super::probe::{Answer, Probe, ProbeError};
use super::script::quote;
use crate::engine::Engine;
use crate::facts::{Observation, Query, VolumeQuery};

const NAME: &str = "replication";
/// What a line that names a holder of the volume's device begins with.
const HELD: &str = "user ";

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
pub(super) struct VolumeProbe(pub(super) Option<VolumeQuery>);

impl Probe for VolumeProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let details = self.0.as_ref().and_then(|query| Some((query, query.device.as_ref()?)));
        match details {
            None => Engine::LOOK_AT_ALL.to_owned(),
            Some((VolumeQuery { volume, .. }, device)) => format!(
                "holders() (\n{HOLDERS}\n)\nvolume={} minor={} disk={}\n{}{}",
                quote(&volume.name),
                volume.minor,
                quote(device),
                Engine::LOOK_AT_ALL,
                volume.engine.look_at_one()
            ),
        }
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        let text = in_words(answer.succeeded(NAME)?.text(NAME)?);
        let query = self.0.clone().map_or(Query::Volumes, Query::Volume);
        Ok(Observations::from([(query, Observation::Text(Some(text)))]))
    }
}

/// What a probe says, with those who hold the volume's device told in words.
fn in_words(text: &str) -> String {
    let (held, mut rest): (Vec<&str>, Vec<String>) = (
        text.lines().filter_map(|line| line.strip_prefix(HELD)).collect(),
        text.lines().filter(|line| !line.starts_with(HELD)).map(str::to_owned).collect(),
    );
    rest.extend(parse_holders(&held.join("\n")).iter().map(|holder| format!("{HELD}{holder}")));
    rest.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_told_in_words() {
        let told = in_words("device 8\nuser process 411 multipathd\nuser mount 1 /srv\nhead 00\n");
        assert_eq!(
            told,
            "device 8\nhead 00\nuser process 411 (multipathd) has it open\nuser it is mounted at /srv"
        );
    }
}
