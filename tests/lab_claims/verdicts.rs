//! Disks with everything on them that is found on real ones: each verdict and its reason, and not a byte changed.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::disks::Disk;
use crate::lab::TestLab;

/// The disks by node, and their sizes. The policy of the lab takes nothing below 64 MiB.
const DISKS: [(&str, &str, &str); 17] = [
    ("alpha", "blank", "80M"),
    ("alpha", "parted", "80M"),
    ("alpha", "gpt", "80M"),
    ("alpha", "ext4", "80M"),
    ("alpha", "lvm", "80M"),
    ("alpha", "md", "80M"),
    ("alpha", "luks", "80M"),
    ("alpha", "swap", "80M"),
    ("beta", "mounted", "80M"),
    ("beta", "sbd", "80M"),
    ("beta", "drbd9", "80M"),
    ("beta", "drbd8", "80M"),
    ("beta", "twin1", "80M"),
    ("beta", "twin2", "80M"),
    ("beta", "readonly", "80M"),
    ("beta", "small", "32M"),
    ("beta", "guest", "80M"),
];
const BYTES: u64 = 80 << 20;
/// The UUID of the file system.
const UUID: &str = "3f1c0000-0000-4000-8000-00000000000e";

pub(crate) fn every_device_has_its_verdict() {
    let specs: Vec<String> = DISKS.iter().map(|(node, name, size)| format!("{node}:{name}={size}")).collect();
    let specs = specs.join(",");
    let lab = TestLab::up("verdicts", &["--nodes", "2", "--disks", &specs]);
    let disks: BTreeMap<(&str, &str), Disk> =
        DISKS.iter().map(|&(node, name, _)| ((node, name), Disk::of(&lab, node, name))).collect();
    fill(&lab, &disks);
    let _read_only = disks[&("beta", "readonly")].read_only();
    let before: BTreeMap<_, String> = disks.iter().map(|(key, disk)| (*key, disk.digest())).collect();
    lab.say(&format!("{} disks are filled", disks.len()));

    let discovered = lab.hactl("discover", &["--json"]).expect(0).json();
    for ((node, name), disk) in &disks {
        check(&discovered, node, name, disk);
    }
    let table = lab.hactl("discover", &[]).expect(0);
    table.says("to claim a device").says("claims: { alpha: { NAME: /dev/disk/by-id/virtio-alpha-blank } }");
    table.says(&format!("wipe: \"ext4/{UUID}\""));
    let after: BTreeMap<_, String> = disks.iter().map(|(key, disk)| (*key, disk.digest())).collect();
    assert_eq!(before, after, "looking at disks changed them");
    lab.say("every verdict is right, and every disk is as it was");

    // A device that vanishes from the node costs its own verdict and no other.
    let swap = &disks[&("alpha", "swap")];
    lab.on("alpha", &format!("umount {0} 2>/dev/null; rm -f {0}; test ! -e {0}", swap.device.display()));
    let discovered = lab.hactl("discover", &["--json"]).expect(0).json();
    let (verdict, why) = verdict(&discovered, "alpha", &swap.name());
    assert!(verdict == "unknown" && why.contains("there is no device node"), "{verdict}: {why}");
    for name in ["blank", "ext4", "luks"] {
        check(&discovered, "alpha", name, &disks[&("alpha", name)]);
    }
    lab.say("a device without its node is unknown, and the others are as before");
}

/// Puts on each what its name says.
fn fill(lab: &TestLab, disks: &BTreeMap<(&str, &str), Disk>) {
    let on = |node: &'static str, name: &'static str| &disks[&(node, name)];
    on("alpha", "parted").partition();
    on("alpha", "gpt").empty_gpt(BYTES);
    on("alpha", "ext4").run(&["mkfs.ext4", "-q", "-F", "-U", UUID]);
    let lvm = on("alpha", "lvm");
    lvm.run(&["pvcreate", "-q", "--devices", &lvm.device.to_string_lossy()]);
    on("alpha", "md").md_member();
    let key = lab.path("key");
    fs::write(&key, "secret").unwrap();
    let luks = [
        "cryptsetup",
        "luksFormat",
        "-q",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--key-file",
    ];
    on("alpha", "luks").run(&[&luks[..], &[&key.to_string_lossy()]].concat());
    on("alpha", "swap").run(&["mkswap", "-q"]);
    let mounted = on("beta", "mounted");
    mounted.run(&["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
    lab.on("beta", &format!("mkdir -p /srv/data && mount {} /srv/data && sync", mounted.device.display()));
    on("beta", "sbd").sbd();
    for (name, format) in [("drbd9", "v09"), ("drbd8", "v08")] {
        let disk = on("beta", name);
        let peers = if format == "v09" { " 1" } else { "" };
        let line = format!("drbdmeta --force 0 {format} \"$0\" internal create-md{peers}");
        disk.run(&["sh", "-c", &line]);
    }
    // What udev says of two disks behind a controller that gives both its own number.
    let database = ["twin1", "twin2"]
        .map(|name| format!("/run/udev/data/b7:{}", on("beta", name).name().trim_start_matches("loop")));
    lab.on(
        "beta",
        &format!(
            "sed -i -e '/WWN/d' -e 's/^E:ID_SERIAL\\(.*\\)=.*/E:ID_SERIAL\\1=CONTROLLER/' {}",
            database.join(" ")
        ),
    );
    // As QEMU does: open for writing, without O_EXCL.
    let guest = on("beta", "guest").device.display().to_string();
    lab.on("beta", &format!("setsid sleep 3600 3<>{guest} >/dev/null 2>&1 </dev/null & sleep 0.2"));
}

fn check(discovered: &Value, node: &str, name: &str, disk: &Disk) {
    let (verdict, reason) = verdict(discovered, node, &disk.name());
    let ext4 = format!("it holds ext4/{UUID} at byte 1080");
    let (is, why) = match name {
        "blank" | "twin1" | "twin2" => ("unclaimed", ""),
        "parted" => ("foreign", "it holds dos/c0de0001"),
        "gpt" => ("foreign", "it holds gpt/bbbb0001-aaaa-4000-8000-000000000007"),
        "ext4" => ("foreign", ext4.as_str()),
        "lvm" => ("foreign", "it holds LVM2_member/"),
        "md" => ("foreign", "it holds linux_raid_member/77777777-0000-4000-8000-000000000001"),
        "luks" => ("foreign", "it holds crypto_LUKS/"),
        "swap" => ("foreign", "it holds swap/"),
        "mounted" => ("foreign", "it is mounted at /srv/data"),
        "sbd" => ("foreign", "it holds sbd/39322f07-fb01-4f60-a370-5076e758326f"),
        "drbd9" | "drbd8" => ("foreign", "it holds drbd/"),
        "readonly" => ("foreign", "it is read-only"),
        "small" => ("foreign", "32MiB is less than the 64MiB of `claim_policy`"),
        "guest" => ("foreign", "sleep (process "),
        other => panic!("nothing is expected of {other}"),
    };
    assert_eq!(verdict, is, "{node}: {name}: {reason}");
    assert!(reason.contains(why), "{node}: {name}: the reason is `{reason}`, not `{why}`");
    let judged = judged(discovered, node, &disk.name());
    let identity = &judged["identity"];
    if name.starts_with("twin") {
        let link = identity["link"].as_str().unwrap_or_default();
        assert!(link.starts_with("/dev/disk/by-path/"), "{name} is known by its place: {identity}");
        assert_eq!(judged["link"], identity["link"]);
    } else {
        assert_eq!(identity["by"], "wwn", "{name}: {identity}");
    }
}

fn judged<'a>(discovered: &'a Value, node: &str, kernel_name: &str) -> &'a Value {
    let devices = discovered["nodes"][node]["answered"]["devices"].as_array().expect("devices");
    devices
        .iter()
        .find(|device| device["name"] == kernel_name)
        .unwrap_or_else(|| panic!("{node} has no {kernel_name}"))
}

/// What it is, and why.
fn verdict(discovered: &Value, node: &str, kernel_name: &str) -> (String, String) {
    let verdict = &judged(discovered, node, kernel_name)["verdict"];
    let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    (text("is"), format!("{}{}", text("what"), text("why")))
}
