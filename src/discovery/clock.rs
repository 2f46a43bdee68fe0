//! The node's clock against ours.
//!
//! The clock is asked first and last in the script, so that the time that the other probes take does not count as
//! uncertainty: what remains is the way there and back, halved, as in NTP (RFC 5905, section 8).

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::Clock;

const NAME: &str = "date";
const US_PER_S: i64 = 1_000_000;
const US_PER_MS: i64 = 1_000;

/// Runs `date`.
pub(super) struct ClockProbe;

/// A moment on the node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct NodeTime {
    /// Microseconds since the epoch.
    pub(super) us: i64,
    /// How coarse the clock's reading is, in microseconds: a second where `date` knows no `%N`.
    pub(super) resolution_us: i64,
}

/// When the script was sent and when its answer had come, on our clock, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Before it was sent.
    pub(super) sent_us: i64,
    /// After it was answered.
    pub(super) received_us: i64,
}

impl Probe for ClockProbe {
    type Fact = NodeTime;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "date '+%s %N'".to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<NodeTime, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?.trim();
        let (seconds, fraction) = text.split_once(' ').unwrap_or((text, ""));
        let time = || {
            let whole = seconds.parse::<i64>().ok()?.checked_mul(US_PER_S)?;
            let micros = fraction.get(..6).and_then(|digits| digits.parse::<u32>().ok());
            Some(match micros {
                Some(micros) => NodeTime { us: whole.checked_add(i64::from(micros))?, resolution_us: 1 },
                None => NodeTime { us: whole, resolution_us: US_PER_S },
            })
        };
        time().ok_or_else(|| malformed(NAME, format!("`{text}` is no time")))
    }
}

/// The offset that two readings of the node's clock within one exchange tell.
///
/// # Errors
/// Our clock or the node's was set while they were compared.
pub(super) fn compare(first: NodeTime, last: NodeTime, exchange: Exchange) -> Result<Clock, ProbeError> {
    let ours = exchange.received_us.saturating_sub(exchange.sent_us);
    let theirs = last.us.saturating_sub(first.us);
    if ours < 0 || theirs < 0 {
        return Err(malformed(NAME, "a clock went backwards while they were compared"));
    }
    let there = i128::from(first.us) - i128::from(exchange.sent_us);
    let back = i128::from(last.us) - i128::from(exchange.received_us);
    let offset_us =
        i64::try_from((there + back) / 2).map_err(|_| malformed(NAME, "the time is out of range"))?;
    let travel_us = ours.saturating_sub(theirs).max(0).saturating_add(first.resolution_us);
    let uncertainty_ms = travel_us.saturating_add(2 * US_PER_MS - 1) / (2 * US_PER_MS);
    Ok(Clock { offset_ms: offset_us / US_PER_MS, uncertainty_ms: uncertainty_ms.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> NodeTime {
        NodeTime { us: ms * US_PER_MS, resolution_us: 1 }
    }

    #[test]
    fn the_time_of_the_other_probes_is_no_uncertainty() {
        // 10 ms there, a script of 5 s, 10 ms back; the node is 2 s ahead.
        let exchange = Exchange { sent_us: 0, received_us: 5_020 * US_PER_MS };
        let clock = compare(at(2_010), at(7_010), exchange).expect("comparable");
        assert_eq!(clock, Clock { offset_ms: 2_000, uncertainty_ms: 11 });
    }

    #[test]
    fn a_node_behind_has_a_negative_offset() {
        let exchange = Exchange { sent_us: 1_000_000, received_us: 1_020_000 };
        let clock = compare(at(-2_990), at(-2_990), exchange).expect("comparable");
        assert_eq!(clock.offset_ms, -4_000);
    }

    #[test]
    fn a_clock_that_was_set_meanwhile_tells_nothing() {
        let exchange = Exchange { sent_us: 0, received_us: 1_000 };
        assert!(compare(at(5_000), at(1_000), exchange).is_err());
        assert!(
            compare(at(0), at(i64::MAX / US_PER_MS), Exchange { sent_us: i64::MIN, received_us: i64::MAX })
                .is_ok()
        );
    }
}
