//! Who uses a block device: where it is mounted, and which process has it open for writing.

use std::path::Path;

/// What file systems are mounted, as this process sees it.
const MOUNTS: &str = "/proc/self/mounts";
/// The bits of an open file's flags that say what it is open for (`O_ACCMODE`), in octal in `fdinfo`.
const ACCESS_MODE: u32 = 0o3;

/// Where a device is mounted.
pub(super) fn mounted_at(device: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string(MOUNTS).ok()?;
    let device = device.to_string_lossy().into_owned();
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(&device)).then(|| words.next().unwrap_or_default().to_owned())
    })
}

/// A process that has the device open for writing. Who opens it a moment later is not seen.
pub(super) fn writer(device: &Path) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut processes = processes.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    processes.find_map(|process| writes(&process.path(), device))
}

/// The process, if it is one that does. One that is gone meanwhile does not.
fn writes(process: &Path, device: &Path) -> Option<String> {
    let files = std::fs::read_dir(process.join("fd")).ok()?.filter_map(Result::ok);
    // The link alone: what is behind it may wait for somebody.
    let mut of_device =
        files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == device));
    let writes = of_device.any(|file| {
        let info = std::fs::read_to_string(process.join("fdinfo").join(file.file_name()));
        info.is_ok_and(|info| is_for_writing(&info))
    });
    let name = || std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    writes
        .then(|| format!("process {} ({})", process.file_name().unwrap_or_default().display(), name().trim()))
}

fn is_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS_MODE != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    #[test]
    fn only_who_writes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("device");
        std::fs::write(&path, b"x").unwrap();
        let reader = std::fs::File::open(&path).unwrap();
        assert_eq!(writer(&path), None);
        let handle = std::fs::File::options().append(true).open(&path).unwrap();
        let who = writer(&path).unwrap();
        assert!(who.contains(&format!("process {} (", std::process::id())), "{who}");
        drop((reader, handle));
        assert_eq!(writer(&path), None);
    }
}
