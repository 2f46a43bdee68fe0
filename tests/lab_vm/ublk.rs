//! A volume handed to the system by the kernel's ublk driver, on Debian 13: it holds a file system that the peer has too, gives
//! space back on both, is not torn away from under a mount, grows, fails instead of hanging when its process is killed, leaves
//! nothing, and comes back.

use std::process::Command;
use std::time::Duration;

use crate::lab::{Program, TestLab};

/// Longest time until two sides have met, or I/O on a volume whose process was killed has failed, in an emulated machine.
const LIMIT: Duration = Duration::from_secs(60);
/// The nodes. The first one is Primary, as a rule.
const FIRST: &str = "alpha";
const SECOND: &str = "beta";
const NODES: [&str; 2] = [FIRST, SECOND];
/// The volume's device.
const DEVICE: &str = "/dev/hactl/by-res/r1";
/// Numbers of devices that the driver knows, also of those that nobody serves any more.
const DEVICES: &str = "ls /sys/class/ublk-char | wc -l";
/// KiB that the disk takes where it lies.
const DISK_KIB: &str = "du -k /root/disk | cut -f1";

pub(crate) fn ublk_has_a_volume() {
    let options = ["--backend", "vm", "--nodes", "2", "--suite", "trixie", "--baked", "--boot-delay", "0"];
    let lab = TestLab::up("ublk", &options);
    install(&lab);
    gives_space_back(&lab);
    holds_a_file_system(&lab);
    the_peer_has_it_too(&lab);
    grows(&lab);
    fails_when_its_process_is_killed(&lab);
    comes_back(&lab);
}

/// A volume of two nodes, on loop devices that can be enlarged. No kernel module but that one is loaded.
fn install(lab: &TestLab) {
    let links = lab.links();
    let nodes: String = NODES
        .iter()
        .enumerate()
        .map(|(id, node)| {
            format!("  {node}: {{ id: {id}, address: \"{}:7789\", disk: $disk }}\n", links[*node][0])
        })
        .collect();
    let prepare = |node| {
        lab.send_executable(node, "/usr/local/sbin/hactl");
        lab.on(
            node,
            &format!(
                "modprobe ublk_drv && mkdir -p /etc/hactl/replica /mnt/v && truncate -s 64M /root/disk && \
                 disk=$(losetup --find --show /root/disk) && umask 077 && cat >/etc/hactl/replica/r1.yml <<END\n\
                 version: 1\nattach: auto\nnodes:\n{nodes}net: {{ unprotected: true }}\nEND\n\
                 hactl replica create-md r1 && hactl replica up r1"
            ),
        );
    };
    std::thread::scope(|scope| {
        scope.spawn(|| prepare(SECOND));
        prepare(FIRST);
    });
    lab.wait_on(FIRST, "they meet", LIMIT, "[ \"$(hactl replica cstate r1)\" = Connected ]");
    lab.on(FIRST, "hactl replica new-current-uuid --clear-bitmap r1 && hactl replica primary r1");
    let device = lab.on(FIRST, &format!("readlink {DEVICE}; hactl replica status --json r1"));
    assert!(device.starts_with("/dev/ublkb"), "auto takes the best that the kernel has: {device}");
    assert!(device.contains("\"ublk\""), "status says by what: {device}");
    let limits = "cd /sys/block/$(basename $(readlink /dev/hactl/by-res/r1))/queue && cat logical_block_size \
                  physical_block_size write_cache fua max_hw_sectors_kb discard_granularity";
    let words: Vec<String> = lab.on(FIRST, limits).lines().map(str::to_owned).collect();
    assert_eq!(words, ["512", "4096", "write back", "1", "1024", "4096"]);
    lab.say("the kernel's ublk driver has the volume");
}

/// Discards and zeroes reach the disks of both nodes.
fn gives_space_back(lab: &TestLab) {
    let disks =
        || NODES.map(|node| lab.on(node, &format!("sync; {DISK_KIB}")).trim().parse::<u64>().expect("KiB"));
    let empty = disks();
    lab.on(
        FIRST,
        &format!("dd if=/dev/urandom of={DEVICE} bs=1M count=32 oflag=direct conv=fsync status=none"),
    );
    let full = disks();
    lab.on(
        FIRST,
        &format!(
            "blkdiscard -l 24M {DEVICE} && blkdiscard -z -o 24M -l 4M {DEVICE} && \
             cmp -n $((4 << 20)) -i $((24 << 20)):0 {DEVICE} /dev/zero && \
             ! cmp -s -n $((4 << 20)) -i $((28 << 20)):0 {DEVICE} /dev/zero"
        ),
    );
    let left = disks();
    for node in 0..NODES.len() {
        let (written, given) = (full[node] - empty[node], full[node] - left[node]);
        assert!(written >= 32 << 10, "{}: {written} KiB were written", NODES[node]);
        assert!(given >= 24 << 10, "{}: {given} KiB were given back", NODES[node]);
    }
    lab.say("discards and zeroes reach the disks of both nodes");
}

/// An empty file system, packed to be said in a command: a minimal Debian 13 has no program that makes one.
fn file_system(lab: &TestLab) -> String {
    let make = "truncate -s 40M \"$1\" && mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 \"$1\" && \
                gzip -9 <\"$1\" | gzip -9 | base64 -w 0";
    let mut command = Command::new("bash");
    command.args(["-c", make, "bash"]).arg(lab.path("file-system"));
    Program::start(&mut command).finish(LIMIT).expect(0).out
}

/// Reads, writes and flushes, many at a time; and a mount keeps it where it is.
fn holds_a_file_system(lab: &TestLab) {
    let image = file_system(lab);
    lab.on(
        FIRST,
        &format!(
            "echo {image} | base64 -d | gunzip | gunzip | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none && \
             mount {DEVICE} /mnt/v && \
             dd if=/dev/urandom of=/mnt/v/file bs=1M count=8 conv=fsync status=none && sha256sum /mnt/v/file >/root/sum && \
             fio --name=v --filename=/mnt/v/fio --size=8M --rw=randwrite --bsrange=4k-64k --ioengine=libaio \
             --iodepth=32 --direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 >/root/fio 2>&1 || \
             {{ cat /root/fio; exit 1; }}; \
             fstrim /mnt/v && echo 3 >/proc/sys/vm/drop_caches && sha256sum --quiet -c /root/sum"
        ),
    );
    lab.try_on(FIRST, "hactl replica secondary r1 2>&1").expect(5).says("mounted at /mnt/v");
    let open = format!("umount /mnt/v; exec 9<>{DEVICE}; hactl replica secondary r1 2>&1");
    lab.try_on(FIRST, &open).expect(5).says("open in process");
    lab.say("it holds a file system");
}

fn the_peer_has_it_too(lab: &TestLab) {
    let sum = lab.on(FIRST, &format!("hactl replica secondary r1 && {DEVICES} && cat /root/sum"));
    let (left, sum) = sum.split_once('\n').expect("two lines");
    assert_eq!(left, "0", "a Secondary has no device");
    lab.on(
        SECOND,
        &format!(
            "echo '{sum}' >/root/sum && hactl replica primary r1 && \
             mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum && umount /mnt/v && hactl replica secondary r1"
        ),
    );
    lab.on(
        FIRST,
        &format!("hactl replica primary r1 && mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum"),
    );
    lab.say("the peer has the same");
}

/// Debian 13's kernel cannot enlarge a device that is in use: the volume grows, and its device with the next promotion.
fn grows(lab: &TestLab) {
    let size =
        || lab.on(FIRST, &format!("blockdev --getsize64 {DEVICE}")).trim().parse::<u64>().expect("a size");
    let before = size();
    for node in NODES {
        lab.on(node, "truncate -s 96M /root/disk && losetup -c $(losetup -j /root/disk | cut -d: -f1)");
    }
    lab.try_on(FIRST, "hactl replica resize --assume-clean r1 2>&1")
        .expect(0)
        .says("until the next promotion");
    assert_eq!(size(), before, "the kernel knows the size of then");
    lab.on(FIRST, "umount /mnt/v && hactl replica secondary r1 && hactl replica primary r1");
    assert!(size() > before + (16 << 20), "it has grown");
    lab.on(
        FIRST,
        &format!(
            "dd if=/dev/urandom of=/root/new bs=1M count=8 status=none && \
             dd if=/root/new of={DEVICE} bs=1M seek=72 oflag=direct conv=fsync,notrunc status=none && \
             cmp -n $((8 << 20)) -i 0:$((72 << 20)) /root/new {DEVICE} && \
             mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum"
        ),
    );
    lab.say("it has grown, and what is new can be written");
}

/// Requests under way too: they wait in the engine when it is killed.
fn fails_when_its_process_is_killed(lab: &TestLab) {
    lab.on(
        FIRST,
        "hactl replica suspend-io r1 && \
         (setsid sh -c 'dd if=/dev/zero of=/mnt/v/lost bs=4k count=1 oflag=direct; echo $? >/root/ended' >/dev/null 2>&1 &)",
    );
    let under_way =
        "[ $(awk '{print $1 + $2}' /sys/block/$(basename $(readlink /dev/hactl/by-res/r1))/inflight) -gt 0 ]";
    lab.wait_on(FIRST, "a request is under way", LIMIT, under_way);
    lab.on(FIRST, "kill -9 $(pgrep -f '[r]eplica serve r1')");
    lab.wait_on(FIRST, "it has failed", LIMIT, "[ \"$(cat /root/ended)\" -ne 0 ]");
    let gone = "! ls /sys/block | grep -q ublk && ! timeout 30 dd if=/mnt/v/file of=/dev/null bs=4k count=1 iflag=direct";
    lab.wait_on(FIRST, "the device is gone, and reading from the mount fails", LIMIT, gone);
    // What is still mounted goes with its last user.
    lab.on(FIRST, &format!("[ $({DEVICES}) -eq 1 ] && timeout 60 hactl replica down r1 && umount /mnt/v"));
    lab.wait_on(FIRST, "nothing is left", LIMIT, &format!("[ $({DEVICES}) -eq 0 ] && [ ! -L {DEVICE} ]"));
    lab.say("killed, it fails, and nothing is left");
}

/// As ublk, and by other means.
fn comes_back(lab: &TestLab) {
    let mounts = |kind: &str| {
        let device = lab.on(
            FIRST,
            &format!(
                "hactl replica up r1 && timeout 60 sh -c 'until [ \"$(hactl replica cstate r1)\" = Connected ]; do sleep 0.2; done' && \
                 hactl replica primary r1 && mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum && umount /mnt/v && readlink {DEVICE}"
            ),
        );
        assert!(device.starts_with(kind), "{device}");
    };
    mounts("/dev/ublkb");
    // Killed while nobody uses it: the next start takes away what it has left.
    lab.on(FIRST, "kill -9 $(pgrep -f '[r]eplica serve r1'); sed -i 's/attach: auto/attach: fuse/' /etc/hactl/replica/r1.yml");
    mounts("/dev/loop");
    assert_eq!(lab.on(FIRST, DEVICES).trim(), "0", "nothing is left");
    lab.on(FIRST, "hactl replica down r1");
    lab.say("it comes back, and by other means as well");
}
