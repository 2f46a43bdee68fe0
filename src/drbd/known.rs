//! The options that DRBD knows, by section and generation.
//!
//! In: a name. Out: whether DRBD has such an option there, and which one may have been meant. The names are those of
//! `drbdsetup xml-help` of drbd-utils 9.22 (`net-options`, `disk-options`, `resource-options`, `peer-device-options`; for
//! 8.4 by its `drbdsetup-84`), and of drbd.conf(5) for `startup` and `handlers`.

use super::modernise::Generation;
use crate::inventory::closest;

/// A section that holds options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionName {
    /// `net`.
    Net,
    /// `disk`.
    Disk,
    /// `startup`.
    Startup,
    /// `options`.
    Options,
    /// `handlers`.
    Handlers,
}

impl SectionName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Net, Self::Disk, Self::Startup, Self::Options, Self::Handlers];

    /// Its keyword.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Disk => "disk",
            Self::Startup => "startup",
            Self::Options => "options",
            Self::Handlers => "handlers",
        }
    }
}

/// Options of both generations, of 8.4 alone, and of 9 alone.
struct Known {
    both: &'static [&'static str],
    v84: &'static [&'static str],
    v9: &'static [&'static str],
}

const NET: Known = Known {
    both: &[
        "after-sb-0pri",
        "after-sb-1pri",
        "after-sb-2pri",
        "allow-two-primaries",
        "always-asbp",
        "congestion-extents",
        "congestion-fill",
        "connect-int",
        "cram-hmac-alg",
        "csums-after-crash-only",
        "csums-alg",
        "data-integrity-alg",
        "ko-count",
        "max-buffers",
        "max-epoch-size",
        "on-congestion",
        "ping-int",
        "ping-timeout",
        "protocol",
        "rcvbuf-size",
        "rr-conflict",
        "shared-secret",
        "sndbuf-size",
        "socket-check-timeout",
        "tcp-cork",
        "timeout",
        "use-rle",
        "verify-alg",
    ],
    v84: &["unplug-watermark"],
    v9: &["allow-remote-read", "fencing", "transport"],
};

const DISK: Known = Known {
    both: &[
        "al-extents",
        "al-updates",
        "c-delay-target",
        "c-fill-target",
        "c-max-rate",
        "c-min-rate",
        "c-plan-ahead",
        "discard-zeroes-if-aligned",
        "disable-write-same",
        "disk-barrier",
        "disk-drain",
        "disk-flushes",
        "disk-timeout",
        // Of `net` in DRBD 9; it is moved there.
        "fencing",
        "md-flushes",
        "on-io-error",
        "read-balancing",
        "resync-after",
        "resync-rate",
        "rs-discard-granularity",
    ],
    v84: &["size"],
    v9: &["bitmap"],
};

const STARTUP: Known = Known {
    both: &["degr-wfc-timeout", "outdated-wfc-timeout", "stacked-timeouts", "wait-after-sb", "wfc-timeout"],
    v84: &["become-primary-on"],
    v9: &[],
};

const OPTIONS: Known = Known {
    both: &["cpu-mask", "on-no-data-accessible"],
    v84: &[],
    v9: &[
        "auto-promote",
        "auto-promote-timeout",
        "max-io-depth",
        "on-no-quorum",
        "on-suspended-primary-outdated",
        "peer-ack-delay",
        "peer-ack-window",
        "quorum",
        "quorum-minimum-redundancy",
        "twopc-retry-timeout",
        "twopc-timeout",
    ],
};

const HANDLERS: Known = Known {
    both: &[
        "after-resync-target",
        "before-resync-source",
        "before-resync-target",
        "fence-peer",
        "initial-split-brain",
        "local-io-error",
        "out-of-sync",
        "pri-lost",
        "pri-lost-after-sb",
        "pri-on-incon-degr",
        "split-brain",
        "unfence-peer",
    ],
    v84: &[],
    v9: &["disconnected", "quorum-lost"],
};

/// What is wrong with an option of this name, in words; `None` when DRBD of this generation has it there.
#[must_use]
pub fn unknown_option(section: SectionName, name: &str, generation: Generation) -> Option<String> {
    let known = of(section);
    let (own, other) = match generation {
        Generation::V84 => (known.v84, known.v9),
        Generation::V9 => (known.v9, known.v84),
    };
    if known.both.contains(&name) || own.contains(&name) {
        return None;
    }
    let (word, drbd) = (section.word(), generation.word());
    if other.contains(&name) {
        return Some(format!("DRBD {drbd}, which the node's kernel has, does not know `{name}` in `{word}`"));
    }
    let elsewhere = SectionName::ALL.into_iter().find(|other| {
        let there = of(*other);
        *other != section
            && (there.both.contains(&name) || there.v84.contains(&name) || there.v9.contains(&name))
    });
    let help = match (elsewhere, closest(name, known.both.iter().chain(own).copied())) {
        (Some(place), _) => format!("; it belongs to `{}`", place.word()),
        (None, Some(close)) => format!("; did you mean `{close}`?"),
        (None, None) => String::new(),
    };
    Some(format!("DRBD has no option `{name}` in `{word}`{help}"))
}

const fn of(section: SectionName) -> &'static Known {
    match section {
        SectionName::Net => &NET,
        SectionName::Disk => &DISK,
        SectionName::Startup => &STARTUP,
        SectionName::Options => &OPTIONS,
        SectionName::Handlers => &HANDLERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_known_where_its_generation_has_it() {
        let wrong = |section, name, generation| unknown_option(section, name, generation).unwrap_or_default();
        assert_eq!(wrong(SectionName::Net, "verify-alg", Generation::V84), "");
        assert_eq!(
            wrong(SectionName::Net, "verfy-alg", Generation::V9),
            "DRBD has no option `verfy-alg` in `net`; did you mean `verify-alg`?"
        );
        assert_eq!(
            wrong(SectionName::Disk, "verify-alg", Generation::V84),
            "DRBD has no option `verify-alg` in `disk`; it belongs to `net`"
        );
        assert_eq!(
            wrong(SectionName::Options, "quorum", Generation::V84),
            "DRBD 8.4, which the node's kernel has, does not know `quorum` in `options`"
        );
        assert_eq!(wrong(SectionName::Options, "quorum", Generation::V9), "");
    }
}
