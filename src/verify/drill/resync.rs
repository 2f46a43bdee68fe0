//! How much a replicated volume had to copy back, by the words of the kernel or of the replication engine. Pure.

/// What is asked of a survivor: one line per resynchronisation of DRBD that began there (`drivers/block/drbd`,
/// `drbd_receiver.c` and `drbd_worker.c`: "Began resync as SyncSource (will sync N KB [M bits set])."), or of hactl's engine,
/// which says it alike in the journal. Says nothing without either; says `unknown` when the log cannot be read.
pub const RESYNC_LOG: &str = "if [ -d /run/hactl/replica ]; then\n\
    said=$(journalctl --quiet --no-pager --output=cat --unit='hactl-replica@*') || { echo unknown; exit 0; }\n\
    printf '%s\\n' \"$said\" | grep -o 'Began resync as [A-Za-z]* (will sync [0-9]* KB' || :\n\
    exit 0\nfi\n\
    dmesg >/dev/null 2>&1 || { echo unknown; exit 0; }\n\
    dmesg | grep -o 'Began resync as [A-Za-z]* (will sync [0-9]* KB' || :";

/// What was copied by the resynchronisations that began between two answers to [`RESYNC_LOG`]; `None` when that is not
/// known, or when nothing replicates.
#[must_use]
pub fn resynced_bytes(before: &str, after: &str) -> Option<u64> {
    let (before, after) = (amounts(before)?, amounts(after)?);
    // The log is a ring: the first ones of before may have been pushed out of it meanwhile, never ones in the middle.
    let new = (0..=before.len()).find_map(|lost| after.strip_prefix(&before[lost..]))?;
    if new.is_empty() { None } else { Some(new.iter().map(|kib| kib * 1024).sum()) }
}

fn amounts(text: &str) -> Option<Vec<u64>> {
    text.lines().map(|line| line.split("will sync ").nth(1)?.strip_suffix(" KB")?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_began_since_counts() {
        let before = "Began resync as SyncSource (will sync 131072 KB\n";
        let after = format!("{before}Began resync as SyncSource (will sync 12 KB\n");
        assert_eq!(resynced_bytes(before, &after), Some(12 * 1024));
        assert_eq!(resynced_bytes("", before), Some(128 * 1024 * 1024));
        // What was first is not in the log any more.
        let pushed_out =
            "Began resync as SyncSource (will sync 12 KB\nBegan resync as SyncSource (will sync 8 KB\n";
        assert_eq!(resynced_bytes(&after, pushed_out), Some(8 * 1024));
        assert_eq!(resynced_bytes(before, pushed_out), Some(20 * 1024));
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_not_made_up() {
        let line = "Began resync as SyncSource (will sync 12 KB\n";
        for (before, after) in [("", ""), (line, line), ("unknown\n", line), (line, "unknown\n"), (line, "")]
        {
            assert_eq!(resynced_bytes(before, after), None, "{before:?} {after:?}");
        }
    }
}
