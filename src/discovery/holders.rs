//! Who holds a block device open on a node, so that it cannot be demoted, detached or taken down.
//!
//! In: the answer to [`holders_command`]. Out: [`Holder`]s that a person can act on. Looks at what the kernel says
//! (`/proc/PID/fd`, `/proc/PID/mountinfo`, `/sys/dev/block/N/holders`, `/proc/swaps`) and needs neither fuser nor lsof.
//! Never ends or unmounts anything.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::transport::Command;

/// How long a node may take to look through its processes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Holders that are named one by one; of more, the number is told.
const MAX_NAMED: usize = 8;
/// What the identifiers of multipath maps begin with (multipath-tools, `libmultipath/devmapper.c`).
const MULTIPATH_UUID: &str = "mpath-";

/// `$1` is the device. Prints one line per holder; nothing when there is none. Fails when there is no such device.
pub const HOLDERS: &str = r#"device=$(readlink -f -- "$1") && [ -b "$device" ] || { echo "$1 is no block device" >&2; exit 1; }
hex=$(stat -L -c '%t:%T' -- "$device") || exit 1
number=$((0x${hex%:*})):$((0x${hex#*:}))
for holder in /sys/dev/block/"$number"/holders/*; do
    [ -e "$holder" ] || continue
    name=$(cat "$holder/dm/name" 2>/dev/null) || name=-
    uuid=$(cat "$holder/dm/uuid" 2>/dev/null) || uuid=-
    printf 'device %s %s %s\n' "${holder##*/}" "${name:--}" "${uuid:--}"
done
for loop in /sys/block/loop*/loop/backing_file; do
    [ -e "$loop" ] || continue
    [ "$(cat "$loop" 2>/dev/null)" != "$device" ] || { loop=${loop#/sys/block/}; printf 'device %s - -\n' "${loop%%/*}"; }
done
while read -r swap rest; do
    [ "$(readlink -f -- "$swap")" != "$device" ] || printf 'swap\n'
done </proc/swaps
find /proc/[0-9]*/ns/mnt -maxdepth 0 -printf '%l %p\n' 2>/dev/null | awk '!seen[$1]++ { print $2 }' |
    while read -r space; do
        process=${space%/ns/mnt}
        awk -v number="$number" -v pid="${process#/proc/}" '$3 == number { print "mount " pid " " $5 }' "$process/mountinfo" 2>/dev/null
    done
find /proc/[0-9]*/fd -maxdepth 1 -lname '/dev/*' -print0 2>/dev/null |
    xargs -0 -r stat -L -c '%t:%T %F %n' 2>/dev/null |
    awk -F/ -v wanted="$hex block special file " 'index($0, wanted) == 1 && !seen[$3]++ { print $3 }' |
    while read -r pid; do
        name=$(cat "/proc/$pid/comm" 2>/dev/null) && printf 'process %s %s\n' "$pid" "$name"
    done
:"#;

/// One that holds a device open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A process has it open.
    Process {
        /// Its number.
        pid: u32,
        /// Its name, as the kernel has it.
        name: String,
    },
    /// It is mounted.
    Mount {
        /// Where; as seen by `pid`, if that is not where everybody sees it.
        directory: Utf8PathBuf,
        /// A process that sees the mount.
        pid: u32,
    },
    /// Another block device lies on it.
    Device {
        /// The kernel's name, such as `dm-0`.
        kernel: String,
        /// Device mapper's name.
        name: Option<String>,
        /// Whether it is a multipath map: multipathd took the device for a path.
        multipath: bool,
    },
    /// It is used as swap.
    Swap,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "process {pid} ({name}) has it open"),
            Self::Mount { directory, pid: 1 } => write!(f, "it is mounted at {directory}"),
            Self::Mount { directory, pid } => {
                write!(f, "it is mounted at {directory} in the mount namespace of process {pid}")
            }
            Self::Device { kernel, name, multipath } => {
                let name = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
                if *multipath {
                    write!(
                        f,
                        "multipathd took it for the path of {kernel}{name}: exclude it in /etc/multipath.conf \
                         (blacklist) and run `multipath -f {}`",
                        name.trim_matches([' ', '(', ')'])
                    )
                } else {
                    write!(f, "the block device {kernel}{name} lies on it")
                }
            }
            Self::Swap => f.write_str("it is used as swap"),
        }
    }
}

/// The command that asks a node who holds a device open.
#[must_use]
pub fn holders_command(device: &Utf8Path) -> Command {
    Command::new(["hactl-holders", device.as_str()]).wrapped(["sh", "-c", HOLDERS]).timeout(LOOK_TIMEOUT)
}

/// Reads the answer; lines of another form are passed over. Sorted, each once.
#[must_use]
pub fn parse_holders(text: &str) -> Vec<Holder> {
    let found: BTreeSet<Holder> = text.lines().filter_map(holder).collect();
    found.into_iter().collect()
}

fn holder(line: &str) -> Option<Holder> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    match kind {
        "swap" => Some(Holder::Swap),
        "process" => {
            let (pid, name) = rest.split_once(' ')?;
            Some(Holder::Process { pid: pid.parse().ok()?, name: name.to_owned() })
        }
        "mount" => {
            let (pid, directory) = rest.split_once(' ')?;
            Some(Holder::Mount { directory: unescaped(directory).into(), pid: pid.parse().ok()? })
        }
        "device" => {
            let mut words = rest.splitn(3, ' ');
            let (kernel, name, uuid) = (words.next()?, words.next()?, words.next()?);
            Some(Holder::Device {
                kernel: kernel.to_owned(),
                name: (name != "-").then(|| name.to_owned()),
                multipath: uuid.starts_with(MULTIPATH_UUID),
            })
        }
        _ => None,
    }
}

/// A path of mountinfo with its blanks, tabs, line ends and backslashes again (`proc_pid_mountinfo(5)`).
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// In words, for the end of a message that says what is held: `held open by: …`. Empty when nobody is found.
#[must_use]
pub fn holders_text(holders: &[Holder]) -> String {
    let mut words: Vec<String> = holders.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    if holders.len() > MAX_NAMED {
        words.push(format!("and {} more", holders.len() - MAX_NAMED));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_holds_it_is_named() {
        let holders = parse_holders(
            "device dm-3 mpatha mpath-36001405abc\ndevice dm-4 vg-data LVM-xyz\ndevice loop7 - -\nswap\nmount 1 /srv/a\\040b\n\
             mount 4711 /mnt\nprocess 815 multipathd\nprocess 816 my daemon\nprocess 815 multipathd\nnoise\n",
        );
        assert_eq!(holders.len(), 8);
        let text = holders_text(&holders);
        for words in [
            "process 815 (multipathd) has it open",
            "process 816 (my daemon) has it open",
            "it is mounted at /srv/a b;",
            "it is mounted at /mnt in the mount namespace of process 4711",
            "multipathd took it for the path of dm-3 (mpatha)",
            "`multipath -f mpatha`",
            "the block device dm-4 (vg-data) lies on it",
            "the block device loop7 lies on it",
            "it is used as swap",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }

    #[test]
    fn nobody_is_nobody_and_many_are_counted() {
        assert_eq!(holders_text(&parse_holders("")), "");
        let many: String = (1..=20).map(|pid| format!("process {pid} x\n")).collect();
        assert!(holders_text(&parse_holders(&many)).ends_with("; and 12 more"));
    }

    #[test]
    fn the_script_is_valid_shell_and_refuses_what_is_no_device() {
        let run = |path: &str| {
            std::process::Command::new("sh").args(["-c", HOLDERS, "hactl-holders", path]).output().unwrap()
        };
        for path in ["/nowhere", "/etc/passwd", "/dev/null"] {
            let output = run(path);
            assert!(!output.status.success(), "{path}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("is no block device"), "{path}");
        }
    }
}
