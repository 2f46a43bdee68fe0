//! Whether packages can be installed now: who holds the locks of apt and dpkg, and what is unfinished.
//!
//! No lock is opened, let alone tried: the holders are found in `/proc/locks`, and what they hold by comparing the
//! files that they have open with the lock files (device and inode; the numbers in `/proc/locks` itself are not
//! those that stat(2) gives on overlayfs and btrfs).

use std::collections::BTreeMap;

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::PackageManager;

const NAME: &str = "apt";
/// Time limit in seconds for looking at the files that holders of locks have open.
const LIMIT_S: u32 = 5;
/// What the journal of an interrupted dpkg is called when it names no package.
const JOURNAL: &str = "dpkg's own journal";

/// Looks at the locks and the status file of dpkg.
pub(super) struct PackageManagerProbe;

impl Probe for PackageManagerProbe {
    type Fact = PackageManager;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        format!(
            r#"if ! command -v apt-get >/dev/null 2>&1; then
  for m in dnf yum zypper pacman apk; do
    if command -v $m >/dev/null 2>&1; then echo "kind $m"; exit 0; fi
  done
  echo 'kind none'; exit 0
fi
echo 'kind apt'
[ -r /proc/locks ] || {{ echo 'cannot read /proc/locks' >&2; exit 1; }}
holders=; folders=
while read -r _ class _ mode pid _; do
  case "$class $mode $pid" in ('POSIX WRITE '[1-9]*) ;; (*) continue ;; esac
  case " $holders " in (*" $pid "*) continue ;; esac
  holders="$holders $pid"; folders="$folders /proc/$pid/fd"
done </proc/locks
set --
for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
  [ -e $lock ] && set -- "$@" ${{1:+-o}} -samefile $lock -printf "lock %p $lock\n"
done
if [ "$folders" ] && [ $# -gt 0 ]; then
  within {LIMIT_S} find -L $folders -maxdepth 1 \( "$@" \)
  [ $? -lt 124 ] || exit 124
  for pid in $holders; do
    read -r comm </proc/$pid/comm && echo "process $pid $comm"
  done 2>/dev/null
fi
echo unfinished
grep -h -B5 -E '^Status: [a-z]+ [a-z]+ (unpacked|half-configured|half-installed|triggers-awaited|triggers-pending)$' \
  /var/lib/dpkg/status
[ $? -le 1 ] || exit 1
set -- /var/lib/dpkg/updates/[0-9]*
if [ -e "$1" ]; then echo journal; grep -h '^Package: ' "$@"; fi
exit 0"#
        )
    }

    fn parse(&self, answer: &Answer) -> Result<PackageManager, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let (head, tail) = text.split_once("\nunfinished\n").unwrap_or((text.trim_end(), ""));
        let mut lines = head.lines();
        let kind = lines.next().and_then(|line| line.strip_prefix("kind "));
        match kind {
            Some("apt") if text.contains("\nunfinished\n") => {}
            Some("none") => return Err(unsupported("no package manager that is known here was found")),
            Some(kind) if kind != "apt" => {
                return Err(unsupported(&format!("apt-get is not there, {kind} is")));
            }
            _ => return Err(malformed(NAME, text)),
        }
        if answer.stderr.contains("Permission denied") {
            return Err(answer.failure(NAME));
        }
        Ok(PackageManager {
            kind: "apt".to_owned(),
            locked_by: locked_by(lines),
            unfinished: unfinished(tail),
        })
    }
}

fn unsupported(reason: &str) -> ProbeError {
    ProbeError::Unsupported { probe: NAME, reason: reason.to_owned() }
}

/// The first holder, in the order of the processes, in words.
fn locked_by<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut holders: BTreeMap<u32, &str> = BTreeMap::new();
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for line in lines {
        if let Some((pid, lock)) = line.strip_prefix("lock /proc/").and_then(holder) {
            holders.entry(pid).or_insert(lock);
        } else if let Some((pid, name)) = line.strip_prefix("process ").and_then(|rest| rest.split_once(' '))
            && let Ok(pid) = pid.parse()
        {
            names.insert(pid, name);
        }
    }
    let (pid, lock) = holders.into_iter().next()?;
    // Without a name the process ended while it was looked at; who comes next may hold the lock as well.
    let name = names.get(&pid).map(|name| format!("{name}, ")).unwrap_or_default();
    Some(format!("{name}process {pid} ({lock})"))
}

/// Process and lock of `4711/fd/4 /var/lib/dpkg/lock`.
fn holder(rest: &str) -> Option<(u32, &str)> {
    let (fd, lock) = rest.split_once(' ')?;
    Some((fd.split('/').next()?.parse().ok()?, lock))
}

/// The packages of the stanzas that name a state in between, and those in the journal.
fn unfinished(text: &str) -> Vec<String> {
    let (status, journal) = match text.split_once("journal\n") {
        Some((status, journal)) => (status, Some(journal)),
        None => (text, None),
    };
    let mut packages = Vec::new();
    let mut current = None;
    for line in status.lines() {
        if let Some(package) = line.strip_prefix("Package: ") {
            current = Some(package);
        } else if line.starts_with("Status: ")
            && line.split(' ').nth(3).is_some_and(|state| state != "installed")
        {
            packages.extend(current.take().map(str::to_owned));
        }
    }
    if let Some(journal) = journal {
        let before = packages.len();
        packages.extend(journal.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned));
        if packages.len() == before {
            packages.push(JOURNAL.to_owned());
        }
    }
    packages.sort();
    packages.dedup();
    packages
}
