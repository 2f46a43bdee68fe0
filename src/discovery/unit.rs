//! systemd units: systemctl(1), `show`.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::batch::Observations;
use super::probe::{Answer, Probe, ProbeError, brief, malformed};
use super::script::quote;
use crate::facts::{Observation, Query, UnitState};

const NAME: &str = "systemctl show";
/// Time limit in seconds; systemd's bus itself gives up only after 25.
const LIMIT_S: u32 = 10;

/// Looks at these units.
pub(super) struct UnitProbe(pub(super) Vec<String>);

impl Probe for UnitProbe {
    type Fact = Observations;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        let names = self.0.iter().map(|name| quote(name)).collect::<Vec<_>>().join(" ");
        // Microseconds need systemd 247; an older one gives whole seconds.
        format!(
            "show() {{ within {LIMIT_S} systemctl show \"$@\" \
             -p Id,Names,LoadState,ActiveState,UnitFileState,StateChangeTimestamp -- {names}; status=$?; }}\n\
             show --timestamp=us+utc 2>/dev/null; [ $status -ne 1 ] || show\n\
             exit $status"
        )
    }

    fn parse(&self, answer: &Answer) -> Result<Observations, ProbeError> {
        if answer.timed_out() {
            return Err(answer.failure(NAME));
        }
        let text = answer.text(NAME)?;
        if text.trim().is_empty() {
            return Err(answer
                .succeeded(NAME)
                .err()
                .unwrap_or_else(|| malformed(NAME, "it printed nothing")));
        }
        let units: Vec<BTreeMap<&str, &str>> = text
            .split("\n\n")
            .map(|block| block.lines().filter_map(|line| line.split_once('=')).collect::<BTreeMap<_, _>>())
            .filter(|unit| !unit.is_empty())
            .collect();
        let observe = |name: &String| {
            let called = |unit: &&BTreeMap<&str, &str>| {
                unit.get("Id").is_some_and(|id| id == name)
                    || unit.get("Names").is_some_and(|names| names.split(' ').any(|alias| alias == name))
            };
            match units.iter().find(called).map(state) {
                Some(Ok(state)) => Observation::Unit(state),
                Some(Err(reason)) => Observation::Unknown(format!("{NAME} {name}: {}", brief(&reason))),
                None => Observation::Unknown(format!("{NAME} {name}: no answer: {}", brief(&answer.stderr))),
            }
        };
        Ok(self.0.iter().map(|name| (Query::Unit { name: name.clone() }, observe(name))).collect())
    }
}

fn state(unit: &BTreeMap<&str, &str>) -> Result<UnitState, String> {
    let property =
        |key: &str| unit.get(key).map(|value| (*value).to_owned()).ok_or_else(|| format!("no {key}"));
    let since = property("StateChangeTimestamp")?;
    Ok(UnitState {
        load_state: property("LoadState")?,
        active_state: property("ActiveState")?,
        unit_file_state: property("UnitFileState")?,
        since_us: microseconds(&since).ok_or_else(|| format!("`{since}` is no time in UTC"))?,
    })
}

/// `Sat 2025-11-22 05:21:13.123456 UTC` in microseconds since the epoch; 0 for never.
fn microseconds(time: &str) -> Option<i64> {
    if matches!(time, "" | "n/a" | "0") {
        return Some(0);
    }
    let moment = time.strip_suffix(" UTC")?.split_once(' ')?.1;
    let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", moment).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_fraction() {
        assert_eq!(microseconds("Thu 1970-01-01 00:00:01.000002 UTC"), Some(1_000_002));
        assert_eq!(microseconds("Thu 1970-01-01 00:00:01 UTC"), Some(1_000_000));
        assert_eq!(microseconds("n/a"), Some(0));
        assert_eq!(microseconds("Thu 1970-01-01 00:00:01 CET"), None);
    }
}
