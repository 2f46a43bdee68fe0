//! What is mounted where (proc_pid_mountinfo(5)), and unmounting.
//!
//! In: a process, a path. Out: mounts. Unmounts only what it is told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::LabError;
use super::process::{Program, wait_for};

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mount {
    /// Device number.
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Where, as that process sees it.
    pub(crate) target: PathBuf,
    pub(crate) fstype: String,
}

/// The mounts that a process sees; none when it is gone.
pub(crate) fn of(process: &str) -> Vec<Mount> {
    fs::read_to_string(format!("/proc/{process}/mountinfo")).map_or_else(|_| Vec::new(), |text| parse(&text))
}

fn parse(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ');
            let (major, minor) = fields.nth(2)?.split_once(':')?;
            Some(Mount {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                target: unescape(fields.nth(1)?),
                fstype: right.split(' ').next()?.to_owned(),
            })
        })
        .collect()
}

/// Blanks and the like are written as octal escapes.
fn unescape(text: &str) -> PathBuf {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes[at..].first().filter(|&&byte| byte == b'\\').and_then(|_| text.get(at + 1..at + 4));
        if let Some(code) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            out.push(code);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    PathBuf::from(String::from_utf8_lossy(&out).into_owned())
}

/// Mount points at or below a directory, in this process's view, the deepest and latest first.
pub(crate) fn below(dir: &Path) -> Result<Vec<PathBuf>, LabError> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(LabError::io("read", path))?;
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let mut targets: Vec<PathBuf> = parse(&text)
        .into_iter()
        .map(|mount| mount.target)
        .filter(|target| target.starts_with(&dir))
        .collect();
    targets.reverse();
    Ok(targets)
}

/// Unmounts everything at or below a directory, and waits for those who still use it.
pub(crate) fn unmount_below(dir: &Path, limit: Duration) -> Result<(), LabError> {
    let mut last = String::new();
    let done = wait_for(
        || format!("unmount everything below {}", dir.display()),
        limit,
        || {
            let targets = below(dir)?;
            for target in &targets {
                let ended = Program::new("unmount", ["umount", "--"]).arg(target).finish()?;
                if !ended.status.success() {
                    last = ended.stderr;
                }
            }
            Ok(below(dir)?.is_empty().then_some(()))
        },
    );
    done.map_err(|error| match error {
        LabError::Timeout { attempted, limit, .. } => {
            LabError::Timeout { attempted, limit, state: last.clone() }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_optional_fields_and_escapes() {
        let text = "36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
            40 35 0:45 / /vol rw - fuse.engine engine rw\nbroken\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].major, mounts[0].minor), (98, 0));
        assert_eq!(mounts[0].target, Path::new("/mnt/a b"));
        assert_eq!((mounts[1].minor, mounts[1].fstype.as_str()), (45, "fuse.engine"));
    }
}
