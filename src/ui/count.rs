//! Numbers, sizes and times in words.

use std::time::Duration;

/// Bytes of one KiB.
const KIB_BYTES: u64 = 1024;

/// `1 node`, `3 nodes`. The plural of the word is made with an `s`.
#[must_use]
pub fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

/// A time as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 03 min`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A size in binary units with one decimal: `512 B`, `1.5 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < KIB_BYTES {
        return format!("{bytes} B");
    }
    let mut unit_bytes = KIB_BYTES;
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes / unit_bytes >= KIB_BYTES {
        unit_bytes *= KIB_BYTES;
        unit += 1;
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit_bytes);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_words() {
        assert_eq!(count(0, "change"), "0 changes");
        assert_eq!(count(1, "change"), "1 change");
        assert_eq!(count(2, "change"), "2 changes");
    }

    #[test]
    fn times_have_the_precision_that_matters() {
        assert_eq!(duration(Duration::from_millis(449)), "0.4 s");
        assert_eq!(duration(Duration::from_millis(12_900)), "12 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(duration(Duration::from_secs(7_380)), "2 h 03 min");
    }

    #[test]
    fn sizes_use_the_largest_unit_that_fits() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(64 * 1024 * 1024), "64.0 MiB");
        assert_eq!(size(u64::MAX), "16383.9 PiB");
    }
}
