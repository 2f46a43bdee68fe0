//! The built-in lab, for real: containers, networks, disks, the fence device, faults, and that nothing is left.
//!
//! Needs root. Without it every test says so and passes; with it, a missing prerequisite fails with the command that
//! installs it. Each test has a lab of its own, so they run side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hactl::lab::{
    DEFAULT_CACHE_DIR, DiskFault, DiskSpec, FaultRequest, Lab, LabConfig, LabError, LabName, Outcome, Power,
};

/// A lab that is taken down whatever happens.
struct Guard {
    lab: Lab,
    name: LabName,
}

impl Drop for Guard {
    fn drop(&mut self) {
        down(&self.name);
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: the lab needs root");
    }
    root
}

fn down(name: &LabName) {
    Lab::down(name, None, Path::new(DEFAULT_CACHE_DIR), &|line| eprintln!("{line}")).unwrap();
}

fn config(name: &str) -> LabConfig {
    LabConfig {
        nodes: 2,
        boot_delay: Duration::ZERO,
        hactl: Some(env!("CARGO_BIN_EXE_hactl").into()),
        ..LabConfig::new(name.parse().unwrap())
    }
}

fn up(config: &LabConfig) -> Guard {
    let (lab, outcome) = Lab::up(config, &|line| eprintln!("{line}")).unwrap();
    assert_eq!(outcome, Outcome::Created);
    Guard { lab, name: config.name.clone() }
}

/// Runs a script on a node; what it printed, or `None` when it failed.
fn run(lab: &Lab, node: &str, script: &str) -> Option<String> {
    let output = lab.ssh(node, &[script.to_owned()]).unwrap().stdin(Stdio::null()).output().unwrap();
    eprintln!("{node}: {script}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn reaches(lab: &Lab, from: &str, address: &str) -> bool {
    run(lab, from, &format!("timeout 2 bash -c '</dev/tcp/{address}/22'")).is_some()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What the kernel and the file system still have of a lab.
fn left_of(name: &str) -> Vec<String> {
    let prefix = format!("hactl-lab.{name}.");
    let mut left = Vec::new();
    let mut look = |dir: &Path| {
        for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                left.push(entry.path().display().to_string());
            }
        }
    };
    look(Path::new("/run/netns"));
    look(Path::new("/sys/fs/cgroup"));
    for entry in fs::read_dir("/sys/fs/cgroup").unwrap().filter_map(Result::ok) {
        look(&entry.path());
    }
    let directory = format!("/var/lib/hactl-lab/{name}/");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(&directory)).map(str::to_owned));
    let loops = Command::new("losetup").arg("--list").output().unwrap();
    let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
    left.extend(loops.lines().filter(|line| line.contains(&directory)).map(str::to_owned));
    for path in [directory, format!("/run/hactl-lab/{name}.dir"), format!("/run/hactl-lab/{name}.lock")] {
        if Path::new(&path).exists() {
            left.push(path);
        }
    }
    left
}

#[test]
fn up_can_be_repeated_and_down_leaves_nothing() {
    if !is_root() {
        return;
    }
    let config = config("t-repeat");
    {
        let guard = up(&config);
        let (again, outcome) = Lab::up(&config, &|_| {}).unwrap();
        assert_eq!(outcome, Outcome::AlreadyUp);
        assert_eq!(again.inventory(), guard.lab.inventory());
        assert_eq!(fs::read_to_string(guard.lab.paths().inventory()).unwrap(), guard.lab.inventory());
        let other = LabConfig { nodes: 3, ..config.clone() };
        assert!(matches!(Lab::up(&other, &|_| {}), Err(LabError::Different { .. })));
        for node in ["alpha", "beta"] {
            assert_eq!(run(&guard.lab, node, "uname -n").unwrap().trim(), node);
        }
        assert!(!left_of("t-repeat").is_empty());
    }
    assert_eq!(left_of("t-repeat"), Vec::<String>::new());
    assert!(matches!(Lab::open(&config.name, None), Err(LabError::NotUp { .. })));
}

#[test]
fn a_node_sees_its_own_disks_with_stable_names_and_installs_packages() {
    if !is_root() {
        return;
    }
    let disks: Vec<DiskSpec> =
        ["data1=64M", "beta:extra=32M"].iter().map(|disk| disk.parse().unwrap()).collect();
    let guard = up(&LabConfig { disks, ..config("t-disks") });
    let list = "lsblk --noheadings --nodeps --bytes --output SERIAL,SIZE | sort | tr -s ' '";
    assert_eq!(run(&guard.lab, "alpha", list).unwrap().trim(), "alpha-data1 67108864");
    assert_eq!(run(&guard.lab, "beta", list).unwrap().trim(), "beta-data1 67108864\nbeta-extra 33554432");
    let same = "test \"$(realpath /dev/disk/by-id/virtio-beta-extra)\" = \"$(realpath /dev/disk/by-id/wwn-* | tail -1)\"";
    run(&guard.lab, "beta", &format!("ls -l /dev/disk/by-id; {same} || true")).unwrap();
    let wwns = |node| run(&guard.lab, node, "lsblk --noheadings --nodeps --output WWN").unwrap();
    assert!(!wwns("beta").contains(wwns("alpha").trim()));
    let install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install --yes -q \
        --no-install-recommends haproxy && command -v haproxy";
    assert!(run(&guard.lab, "alpha", install).unwrap().trim().ends_with("/usr/sbin/haproxy"));
    assert!(run(&guard.lab, "beta", "command -v haproxy").is_none());
}

#[test]
fn a_disk_grows_under_its_node_and_is_replaced_when_nobody_uses_it() {
    if !is_root() {
        return;
    }
    let guard = up(&LabConfig { nodes: 1, ..config("t-grow") });
    let lab = &guard.lab;
    let disk = "/dev/disk/by-id/virtio-alpha-data1";
    let size = || run(lab, "alpha", &format!("blockdev --getsize64 {disk}")).unwrap();
    let inject = |request: FaultRequest| lab.inject(&request);
    let (node, name) = (|| "alpha".to_owned(), || "data1".to_owned());
    let resize = |size_bytes| inject(FaultRequest::ResizeDisk { node: node(), disk: name(), size_bytes });
    assert_eq!(size().trim(), (256 << 20).to_string());
    run(lab, "alpha", &format!("mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept >/mnt/file")).unwrap();
    resize(512 << 20).unwrap();
    assert_eq!(size().trim(), (512 << 20).to_string(), "also while it is mounted");
    assert_eq!(run(lab, "alpha", "cat /mnt/file").unwrap().trim(), "kept");
    assert!(resize(256 << 20).unwrap_err().to_string().contains("only grows"));
    let replace = |size_bytes| inject(FaultRequest::ReplaceDisk { node: node(), disk: name(), size_bytes });
    assert!(replace(None).unwrap_err().to_string().contains("in use"));
    run(lab, "alpha", "umount /mnt").unwrap();
    assert!(replace(Some(512)).unwrap_err().to_string().contains("the size of `data1`"));
    replace(Some(384 << 20)).unwrap();
    assert_eq!(size().trim(), (384 << 20).to_string(), "of the size that was asked for");
    replace(None).unwrap();
    assert_eq!(size().trim(), (384 << 20).to_string(), "as large as the last one");
    assert_eq!(
        run(lab, "alpha", &format!("! blkid --probe {disk} && cmp --bytes 1M {disk} /dev/zero")),
        Some(String::new())
    );
    let failing = FaultRequest::Disk { node: node(), disk: name(), with: DiskFault::Failing };
    assert!(inject(failing).unwrap_err().to_string().contains("--backend vm"));
    let nobodys = FaultRequest::ReplaceDisk { node: node(), disk: "data9".to_owned(), size_bytes: None };
    assert!(inject(nobodys).unwrap_err().to_string().contains("it has data1"));
}

#[test]
fn what_was_not_synced_is_lost_with_the_power_and_the_root_stays() {
    if !is_root() {
        return;
    }
    let guard = up(&LabConfig { nodes: 1, ..config("t-power") });
    let disk = "/dev/disk/by-id/virtio-alpha-data1";
    let prepare = format!(
        "mkfs.ext4 -q {disk} && mkdir /mnt/data && mount {disk} /mnt/data && echo safe >/mnt/data/synced && \
         sync -f /mnt/data && echo gone >/mnt/data/unsynced && touch /run/this-boot /etc/kept && \
         ip address add 10.99.0.1/32 dev eth0"
    );
    run(&guard.lab, "alpha", &prepare).unwrap();
    guard.lab.inject(&FaultRequest::PowerCut { node: "alpha".to_owned() }).unwrap();
    assert_eq!(guard.lab.power("alpha").unwrap(), Power::Off);
    guard.lab.inject(&FaultRequest::PowerCut { node: "alpha".to_owned() }).unwrap();
    guard.lab.inject(&FaultRequest::PowerOn { node: "alpha".to_owned() }).unwrap();
    assert_eq!(guard.lab.power("alpha").unwrap(), Power::On);
    let look =
        format!("test -e /etc/kept && test ! -e /run/this-boot && mount {disk} /mnt/data && ls /mnt/data");
    assert_eq!(run(&guard.lab, "alpha", &look).unwrap(), "lost+found\nsynced\n");
    assert!(!run(&guard.lab, "alpha", "ip -brief address").unwrap().contains("10.99.0.1"));
}

#[test]
fn a_node_fences_another_and_only_with_the_secret() {
    if !is_root() {
        return;
    }
    let guard = up(&config("t-fence"));
    let fence = &guard.lab.record().fence;
    let secret = fs::read_to_string(&fence.secret).unwrap();
    let agent = |action: &str, secret: &str| {
        run(
            &guard.lab,
            "alpha",
            &format!(
                "printf 'action={action}\\nip={}\\nipport={}\\npassword={secret}\\nplug=beta\\n' | fence_hactl_lab",
                fence.ip, fence.port
            ),
        )
    };
    assert_eq!(agent("status", &secret).unwrap(), "Status: ON\n");
    assert_eq!(agent("list", &secret).unwrap(), "alpha,alpha\nbeta,beta\n");
    assert!(agent("monitor", &secret).is_some() && agent("validate-all", &secret).is_some());
    assert!(agent("metadata", "").unwrap().contains("<parameter name=\"plug\""));
    run(&guard.lab, "beta", "touch /run/this-boot").unwrap();
    assert!(agent("reboot", "wrong").is_none());
    run(&guard.lab, "beta", "test -e /run/this-boot").unwrap();
    guard.lab.inject(&FaultRequest::Freeze { node: "beta".to_owned() }).unwrap();
    let began = Instant::now();
    agent("reboot", &secret).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    guard.lab.wait_for_ssh("beta").unwrap();
    run(&guard.lab, "beta", "test ! -e /run/this-boot").unwrap();
    agent("off", &secret).unwrap();
    assert_eq!(guard.lab.power("beta").unwrap(), Power::Off);
    assert!(agent("status", &secret).is_none());
    agent("on", &secret).unwrap();
    guard.lab.wait_for_ssh("beta").unwrap();
}

#[test]
fn a_fenced_node_stays_away_for_its_firmware_time_unless_it_is_switched_off() {
    if !is_root() {
        return;
    }
    let guard = up(&LabConfig { boot_delay: Duration::from_secs(2), ..config("t-firmware") });
    let fence = &guard.lab.record().fence;
    let secret = fs::read_to_string(&fence.secret).unwrap();
    let ip = fence.ip;
    let agent = |action: &str| {
        run(&guard.lab, "alpha", &format!("fence_hactl_lab -o {action} -a {ip} -p {secret} -n beta"))
            .unwrap();
    };
    agent("reboot");
    assert_eq!(guard.lab.power("beta").unwrap(), Power::Starting);
    wait_until("beta boots by itself", || guard.lab.power("beta").unwrap() == Power::On);
    agent("reboot");
    agent("off");
    assert_eq!(guard.lab.power("beta").unwrap(), Power::Off);
    // Longer than the firmware takes: the reboot before must not switch it on again.
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        assert_eq!(guard.lab.power("beta").unwrap(), Power::Off);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn cables_are_cut_and_healed_and_the_host_keeps_its_own() {
    if !is_root() {
        return;
    }
    let guard = up(&config("t-cables"));
    let lab = &guard.lab;
    let beta: Vec<String> = lab.record().nodes[1].addresses.iter().map(ToString::to_string).collect();
    let partition =
        |network| FaultRequest::Partition { a: vec!["alpha".into()], b: vec!["beta".into()], network };
    assert!(reaches(lab, "alpha", &beta[0]) && reaches(lab, "alpha", &beta[1]));
    lab.inject(&partition(Some(2))).unwrap();
    assert!(reaches(lab, "alpha", &beta[0]) && !reaches(lab, "alpha", &beta[1]));
    // A node that is switched on again finds the same cables.
    lab.inject(&FaultRequest::PowerCut { node: "beta".into() }).unwrap();
    assert!(!reaches(lab, "alpha", &beta[0]));
    lab.inject(&FaultRequest::PowerOn { node: "beta".into() }).unwrap();
    assert!(reaches(lab, "alpha", &beta[0]) && !reaches(lab, "alpha", &beta[1]));
    lab.inject(&FaultRequest::CutLink { node: "beta".into(), network: None }).unwrap();
    assert!(!reaches(lab, "alpha", &beta[0]));
    lab.inject(&FaultRequest::Heal { nodes: vec![], network: None }).unwrap();
    assert!(lab.faults().unwrap().is_empty());
    assert!(reaches(lab, "alpha", &beta[0]) && reaches(lab, "alpha", &beta[1]));
    assert!(matches!(lab.inject(&partition(Some(3))), Err(LabError::Usage(_))));
    assert!(matches!(
        lab.inject(&FaultRequest::Freeze { node: "omega".into() }),
        Err(LabError::UnknownNode { .. })
    ));
}

#[test]
fn a_node_that_is_shut_down_from_inside_no_longer_answers() {
    if !is_root() {
        return;
    }
    let guard = up(&config("t-shutdown"));
    let beta = guard.lab.record().nodes[1].addresses[0].to_string();
    run(&guard.lab, "beta", "systemctl poweroff --no-block").unwrap();
    wait_until("beta is off", || guard.lab.power("beta").unwrap() == Power::Off);
    let neighbour = "/run/netns/hactl-lab.t-shutdown.beta";
    wait_until("beta is unplugged", || !Path::new(&neighbour).exists());
    assert!(!reaches(&guard.lab, "alpha", &beta));
    guard.lab.inject(&FaultRequest::PowerOn { node: "beta".into() }).unwrap();
    assert!(reaches(&guard.lab, "alpha", &beta));
}

#[test]
fn sudo_works_with_and_without_a_password() {
    if !is_root() {
        return;
    }
    let guard = up(&LabConfig { nodes: 1, disks: vec![], ..config("t-sudo") });
    let login = |user: &str, script: &str| {
        let mut ssh = guard.lab.ssh("alpha", &[]).unwrap();
        let output = ssh.arg("-l").arg(user).arg("--").arg(script).stdin(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(login("admin", "sudo --non-interactive id --user"), (true, "0\n".to_owned()));
    assert!(!login("operator", "sudo --non-interactive id --user").0);
    assert_eq!(login("operator", "echo operator-pw | sudo --stdin id --user"), (true, "0\n".to_owned()));
}

/// Kills `hactl lab up` when `seen` holds, and takes the lab down.
fn kill_up_when(name: &str, what: &str, mut seen: impl FnMut() -> bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hactl"))
        .args(["lab", "up", "--nodes", "2", "--name", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(what, || seen() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    down(&name.parse().unwrap());
    assert_eq!(left_of(name), Vec::<String>::new(), "after being killed when {what}");
}

#[test]
fn an_up_that_was_killed_anywhere_leaves_nothing_after_down() {
    if !is_root() {
        return;
    }
    // The image and the packages are built by whichever test comes first.
    drop(up(&config("t-killed")));
    let dir = "/var/lib/hactl-lab/t-killed";
    let exists = |path: String| move || Path::new(&path).exists();
    kill_up_when("t-killed", "the directory exists", exists(dir.to_owned()));
    kill_up_when("t-killed", "the record exists", exists(format!("{dir}/lab.json")));
    kill_up_when("t-killed", "the switch exists", exists("/run/netns/hactl-lab.t-killed._switch".to_owned()));
    kill_up_when("t-killed", "a disk exists", exists(format!("{dir}/nodes/beta/disk-data1.img")));
    kill_up_when("t-killed", "a root is mounted", exists(format!("{dir}/nodes/beta/root/etc/hostname")));
    kill_up_when("t-killed", "a node is connected", exists("/run/netns/hactl-lab.t-killed.alpha".to_owned()));
    kill_up_when("t-killed", "a node boots", exists(format!("{dir}/nodes/alpha/console.log")));
    kill_up_when("t-killed", "the fence device starts", exists(format!("{dir}/fenced.log")));
}

#[test]
fn an_up_after_a_killed_up_starts_afresh() {
    if !is_root() {
        return;
    }
    let name = "t-afresh";
    let mut child = Command::new(env!("CARGO_BIN_EXE_hactl"))
        .args(["lab", "up", "--nodes", "2", "--name", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let console = format!("/var/lib/hactl-lab/{name}/nodes/beta/console.log");
    wait_until("a node boots", || Path::new(&console).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let guard = up(&config(name));
    assert_eq!(run(&guard.lab, "beta", "uname -n").unwrap().trim(), "beta");
}

#[test]
fn a_directory_with_other_peoples_files_is_not_touched() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let config = LabConfig { state_dir: Some(dir.path().to_owned()), ..config("t-foreign") };
    assert!(matches!(Lab::up(&config, &|_| {}), Err(LabError::ForeignDirectory { .. })));
    let ended = Lab::down(&config.name, Some(dir.path()), Path::new(DEFAULT_CACHE_DIR), &|_| {});
    assert!(matches!(ended, Err(LabError::ForeignDirectory { .. })));
    assert_eq!(fs::read_to_string(dir.path().join("thesis.txt")).unwrap(), "years of work");
}
