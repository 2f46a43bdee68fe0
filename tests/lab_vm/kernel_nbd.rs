//! A volume handed to the system by the kernel's NBD client: it holds a file system, grows, is not torn away from under a mount,
//! fails instead of hanging when its process is killed, and leaves nothing.

use std::time::Duration;

use crate::lab::TestLab;

/// Longest time until I/O on a volume whose process was killed has failed, in an emulated machine.
const FAIL_LIMIT: Duration = Duration::from_secs(60);
/// The node.
const NODE: &str = "alpha";
/// The volume's device.
const DEVICE: &str = "/dev/hactl/by-res/r1";
/// Devices of the kernel's NBD client that say whose they are.
const BACKENDS: &str = "cat /sys/devices/virtual/block/nbd*/backend 2>/dev/null | wc -l";

pub(crate) fn the_kernels_nbd_client_has_a_volume() {
    let lab = TestLab::up("kernel-nbd", &["--backend", "vm", "--nodes", "1", "--baked", "--boot-delay", "0"]);
    install(&lab);
    holds_a_file_system(&lab);
    grows(&lab);
    fails_when_its_process_is_killed(&lab);
    is_found_by_other_means(&lab);
}

/// A volume of one node, on a loop device that can be enlarged.
fn install(lab: &TestLab) {
    lab.send_executable(NODE, "/usr/local/sbin/hactl");
    lab.on(
        NODE,
        "modprobe nbd && mkdir -p /etc/hactl/replica /mnt/v && truncate -s 64M /root/disk && \
         disk=$(losetup --find --show /root/disk) && umask 077 && cat >/etc/hactl/replica/r1.yml <<END\n\
         version: 1\nattach: auto\nnodes:\n  alpha: { id: 0, address: '127.0.0.1:7789', disk: $disk }\n\
         net: { unprotected: true }\nEND\n\
         hactl replica create-md r1 && hactl replica up r1 && hactl replica primary --force r1",
    );
    let device = lab.on(NODE, &format!("readlink {DEVICE}"));
    assert!(device.trim().starts_with("/dev/nbd"), "auto takes what the kernel has: {device}");
    let status = lab.try_on(NODE, "hactl replica status --json r1").expect(0).json();
    assert_eq!(status["devices"][0]["attached-by"], "nbd");
    assert_eq!(lab.on(NODE, BACKENDS).trim(), "1");
    lab.say("the kernel's NBD client has the volume");
}

/// Reads, writes, flushes and discards; and a mount keeps it where it is.
fn holds_a_file_system(lab: &TestLab) {
    lab.on(
        NODE,
        &format!(
            "mkfs.ext4 -q {DEVICE} && mount {DEVICE} /mnt/v && \
             dd if=/dev/urandom of=/mnt/v/file bs=1M count=8 conv=fsync status=none && sha256sum /mnt/v/file >/root/sum && \
             fstrim /mnt/v && echo 3 >/proc/sys/vm/drop_caches && sha256sum --quiet -c /root/sum"
        ),
    );
    lab.try_on(NODE, "hactl replica secondary r1 2>&1").expect(5).says("mounted at /mnt/v");
    lab.on(NODE, "umount /mnt/v");
    let open = lab.try_on(NODE, &format!("exec 9<>{DEVICE}; hactl replica secondary r1 2>&1"));
    open.expect(5).says("open in process");
    lab.on(NODE, "hactl replica secondary r1");
    assert_eq!(lab.on(NODE, BACKENDS).trim(), "0", "a Secondary has no device");
    lab.on(
        NODE,
        &format!("hactl replica primary r1 && mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum"),
    );
    lab.say("it holds a file system");
}

fn grows(lab: &TestLab) {
    let size =
        || lab.on(NODE, &format!("blockdev --getsize64 {DEVICE}")).trim().parse::<u64>().expect("a size");
    let before = size();
    lab.on(NODE, "truncate -s 96M /root/disk && losetup -c $(losetup -j /root/disk | cut -d: -f1)");
    lab.on(NODE, "hactl replica resize --assume-clean r1");
    let grown = format!("[ $(blockdev --getsize64 {DEVICE}) -gt {} ]", before + (16 << 20));
    lab.wait_on(NODE, "the device is larger", FAIL_LIMIT, &grown);
    lab.on(
        NODE,
        &format!(
            "resize2fs {DEVICE} 2>&1 && dd if=/dev/zero of=/mnt/v/more bs=1M count=64 conv=fsync status=none"
        ),
    );
    lab.say("it has grown in use, and what is new can be written");
}

/// Requests under way too: they wait in the engine when it is killed.
fn fails_when_its_process_is_killed(lab: &TestLab) {
    lab.on(
        NODE,
        "hactl replica suspend-io r1 && \
         (setsid sh -c 'dd if=/dev/zero of=/mnt/v/lost bs=4k count=1 oflag=direct; echo $? >/root/ended' >/dev/null 2>&1 &)",
    );
    let under_way =
        "[ $(awk '{print $1 + $2}' /sys/block/$(basename $(readlink /dev/hactl/by-res/r1))/inflight) -gt 0 ]";
    lab.wait_on(NODE, "a request is under way", FAIL_LIMIT, under_way);
    lab.on(NODE, "kill -9 $(pgrep -f '[r]eplica serve r1')");
    lab.wait_on(NODE, "it has failed", FAIL_LIMIT, "[ \"$(cat /root/ended)\" -ne 0 ]");
    let read =
        lab.try_on(NODE, &format!("timeout 30 dd if={DEVICE} of=/dev/null bs=4k count=1 iflag=direct 2>&1"));
    read.expect(1);
    lab.on(NODE, "umount /mnt/v && hactl replica down r1");
    assert_eq!(lab.on(NODE, BACKENDS).trim(), "0", "nothing is left");
    lab.say("killed, it fails, and nothing is left");
}

fn is_found_by_other_means(lab: &TestLab) {
    lab.on(
        NODE,
        &format!(
            "sed -i 's/attach: auto/attach: fuse/' /etc/hactl/replica/r1.yml && hactl replica up r1 && \
             hactl replica primary r1 && mount {DEVICE} /mnt/v && sha256sum --quiet -c /root/sum && umount /mnt/v"
        ),
    );
    let device = lab.on(NODE, &format!("readlink {DEVICE}"));
    assert!(device.trim().starts_with("/dev/loop"), "{device}");
    lab.on(NODE, "hactl replica down r1");
    lab.say("the data is there by FUSE as well");
}
