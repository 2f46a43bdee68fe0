//! Control groups: each node has one of its own in every hierarchy, made before it starts.
//!
//! In: a group's name. Out: groups, what runs in them, whether they are frozen. Without a group of their own all
//! nodes' systemds would share one payload group and disturb each other. "Is the node on" means "is its group
//! populated", so no process number has to be remembered. Version 1 hierarchies beside version 2 are served too.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::error::LabError;
use super::process::wait_for;

/// Longest wait for a killed or frozen group.
const GROUP_LIMIT: Duration = Duration::from_secs(20);

/// The hierarchies of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchies {
    /// The mount point of version 2.
    v2: PathBuf,
    /// Mount points of version 1, if any.
    v1: Vec<PathBuf>,
    /// Mount points of version 1 where a group of one's own forbids realtime scheduling, which corosync asks for
    /// (a new group has `cpu.rt_runtime_us` 0): there the nodes are in the root group.
    v1_shared: Vec<PathBuf>,
}

impl Hierarchies {
    pub(crate) fn find() -> Result<Self, LabError> {
        let path = Path::new("/proc/self/mounts");
        let mut found = Self::parse(&fs::read_to_string(path).map_err(LabError::io("read", path))?)
            .ok_or_else(|| LabError::Usage("no cgroup2 hierarchy is mounted on this machine".to_owned()))?;
        (found.v1_shared, found.v1) =
            found.v1.into_iter().partition(|root| root.join("cpu.rt_runtime_us").exists());
        Ok(found)
    }

    fn parse(mounts: &str) -> Option<Self> {
        let of_type = |wanted: &str| -> Vec<PathBuf> {
            mounts
                .lines()
                .filter_map(|line| {
                    let mut fields = line.split(' ');
                    let target = fields.nth(1)?;
                    (fields.next()? == wanted && target.starts_with("/sys/fs/cgroup")).then(|| target.into())
                })
                .collect()
        };
        Some(Self {
            v2: of_type("cgroup2").into_iter().next()?,
            v1: of_type("cgroup"),
            v1_shared: Vec::new(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.v2).chain(&self.v1)
    }

    /// Names of groups at the top of any hierarchy that begin so.
    pub(crate) fn groups(&self, prefix: &str) -> BTreeSet<String> {
        self.all()
            .filter_map(|root| fs::read_dir(root).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    pub(crate) fn group(&self, name: &str) -> Group {
        Group {
            v2: self.v2.join(name),
            v1: self.v1.iter().map(|root| root.join(name)).collect(),
            shared: self.v1_shared.clone(),
        }
    }
}

/// One group, in all hierarchies.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    v2: PathBuf,
    v1: Vec<PathBuf>,
    shared: Vec<PathBuf>,
}

impl Group {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.v2).chain(&self.v1)
    }

    /// Makes it. Returns the files to write a process number to.
    pub(crate) fn create(&self) -> Result<Vec<PathBuf>, LabError> {
        for dir in self.all() {
            fs::create_dir_all(dir).map_err(LabError::io("create", dir))?;
            // A version 1 cpuset takes no process before it has processors and memory.
            for name in ["cpuset.cpus", "cpuset.mems"] {
                let (own, above) = (dir.join(name), dir.parent().map(|parent| parent.join(name)));
                if let Some(above) = above.filter(|above| above.exists() && self.v1.contains(dir)) {
                    let value = fs::read(&above).map_err(LabError::io("read", &above))?;
                    fs::write(&own, value).map_err(LabError::io("write", &own))?;
                }
            }
        }
        Ok(self.all().chain(&self.shared).map(|dir| dir.join("cgroup.procs")).collect())
    }

    /// Whether a live process is in it.
    pub(crate) fn is_populated(&self) -> bool {
        self.event("populated")
    }

    fn event(&self, name: &str) -> bool {
        fs::read_to_string(self.v2.join("cgroup.events"))
            .is_ok_and(|text| text.lines().any(|line| line.strip_prefix(name) == Some(" 1")))
    }

    /// The processes in it and below it.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for dir in self.all() {
            collect(dir, &mut found);
        }
        found
    }

    /// The container's init: number 1 in a namespace inside the host's.
    pub(crate) fn init(&self) -> Option<i32> {
        self.processes().into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| is_inner_init(&status))
        })
    }

    /// Stops everything in it. Does not wait: a process in an uninterruptible wait stops when that ends.
    pub(crate) fn freeze(&self) -> Result<(), LabError> {
        self.write("cgroup.freeze", "1")
    }

    pub(crate) fn thaw(&self) -> Result<(), LabError> {
        self.write("cgroup.freeze", "0")
    }

    /// Waits until everything in it stands still.
    pub(crate) fn wait_frozen(&self) -> Result<(), LabError> {
        let what = || format!("freeze {}", self.v2.display());
        wait_for(what, GROUP_LIMIT, || Ok(self.is_frozen().then_some(())))
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.event("frozen")
    }

    fn write(&self, name: &str, value: &str) -> Result<(), LabError> {
        let path = self.v2.join(name);
        match fs::write(&path, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(LabError::io("write", &path)),
        }
    }

    /// Kills everything in it and removes it with the groups below it. While it is there somebody may still join it (a
    /// program that a killed run had started); once it is gone nobody can, so this comes before anything else is removed.
    pub(crate) fn end(&self) -> Result<(), LabError> {
        let what = || format!("end the processes in {}: {:?}", self.v2.display(), self.processes());
        self.thaw()?;
        wait_for(what, GROUP_LIMIT, || {
            // cgroup.kill (Linux 5.14) leaves no room for a process that forks meanwhile.
            let _ = fs::write(self.v2.join("cgroup.kill"), "1");
            for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
                // It may have ended since it was listed.
                let _ = kill_process(pid, Signal::KILL);
            }
            let gone = self.all().map(|dir| remove_groups(dir)).filter(|gone| !gone).count() == 0;
            Ok(gone.then_some(()))
        })
    }
}

fn collect(dir: &Path, found: &mut BTreeSet<i32>) {
    // A group that ends while it is read holds nothing.
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    found.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|&pid| pid > 0));
    for child in children(dir) {
        collect(&child, found);
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect()
        },
    )
}

fn remove_groups(dir: &Path) -> bool {
    for child in children(dir) {
        remove_groups(&child);
    }
    match fs::remove_dir(dir) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// From /proc/PID/status: `NSpid:  4711  1`.
fn is_inner_init(status: &str) -> bool {
    status.lines().find_map(|line| line.strip_prefix("NSpid:")).is_some_and(|pids| {
        pids.split_whitespace().count() == 2 && pids.split_whitespace().last() == Some("1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_all_three_kinds_of_hosts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = Hierarchies::parse(hybrid).unwrap();
        assert_eq!(found.v2, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found.v1, [Path::new("/sys/fs/cgroup/cpu")]);
        let unified = Hierarchies::parse("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unwrap();
        assert!(unified.v1.is_empty());
        assert!(Hierarchies::parse("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n").is_none());
    }

    #[test]
    fn the_inner_init_is_told_from_other_processes() {
        assert!(is_inner_init("Name:\tsystemd\nNSpid:\t4711\t1\n"));
        assert!(!is_inner_init("NSpid:\t1\n"));
        assert!(!is_inner_init("NSpid:\t4711\t12\n"));
        assert!(!is_inner_init("Name:\tx\n"));
    }
}
