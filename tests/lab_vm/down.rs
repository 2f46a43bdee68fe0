//! `up` killed at several points, and machines killed under a lab: `down` leaves nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::TestLab;

/// Longest time until `up` gets to a point.
const POINT_LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn killed_labs_leave_nothing() {
    let name = TestLab::name_of("vm-killed");
    let dir = format!("/var/lib/hactl-lab/{name}");
    for point in [
        format!("{dir}/lab.json"),
        format!("/run/netns/hactl-lab.{name}._switch"),
        format!("{dir}/nodes/alpha/writable/root.qcow2"),
        format!("{dir}/nodes/alpha/qmp"),
    ] {
        kill_up_at(&name, &point);
        assert_eq!(left_of(&name), Vec::<String>::new(), "after being killed at {point}");
    }
}

/// Kills `hactl lab up` as soon as this file exists, then takes the lab down.
fn kill_up_at(name: &str, point: &str) {
    let hactl = env!("CARGO_BIN_EXE_hactl");
    let mut up = Command::new(hactl)
        .args(["lab", "up", "--backend", "vm", "--nodes", "1", "--name", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("hactl starts");
    let deadline = Instant::now() + POINT_LIMIT;
    while !Path::new(point).exists() {
        assert!(up.try_wait().expect("it can be asked").is_none(), "`up` ended before {point}");
        assert!(Instant::now() < deadline, "`up` did not get to {point}");
        std::thread::sleep(Duration::from_millis(2));
    }
    up.kill().expect("it can be killed");
    up.wait().expect("it ends");
    let down = Command::new(hactl).args(["lab", "down", "--name", name]).output().expect("hactl starts");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
}

/// What the kernel and the file system still have of a lab.
fn left_of(name: &str) -> Vec<String> {
    let prefix = format!("hactl-lab.{name}.");
    let mut places: Vec<_> = vec!["/run/netns".into(), "/sys/fs/cgroup".into()];
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    places.extend(hierarchies.map(|entry| entry.path()));
    let entries =
        places.iter().flat_map(|place: &std::path::PathBuf| std::fs::read_dir(place)).flatten().flatten();
    let mut left: Vec<String> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path().display().to_string())
        .collect();
    let dir = format!("/var/lib/hactl-lab/{name}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts are listed");
    left.extend(mounts.lines().filter(|line| line.contains(&format!("{dir}/"))).map(str::to_owned));
    let processes = std::fs::read_dir("/proc").expect("processes are listed").flatten();
    for process in processes {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with("qemu-system") && line.contains(&format!("{dir}/")) {
            left.push(line);
        }
    }
    let own = [dir, format!("/run/hactl-lab/{name}.dir"), format!("/run/hactl-lab/{name}.lock")];
    left.extend(own.into_iter().filter(|path| Path::new(path).exists()));
    left
}
