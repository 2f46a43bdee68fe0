//! The engine as fio, libnbd, QEMU and drbdmeta see it.

use std::process::{Command, Output};

use replicad::control::Verb;

use crate::nbd_client::{Client, History};
use crate::pair::{Node, Pair, in_sync};

/// After so many seconds a client counts as hung.
const LIMIT_SECONDS: &str = "120";

fn run(program: &str, arguments: &[&str]) -> Output {
    // libnbd's shell runs whatever `python3` it finds: Debian's is the one that it is made for.
    let path = format!("/usr/bin:/bin:{}", std::env::var("PATH").unwrap_or_default());
    Command::new("timeout").args([LIMIT_SECONDS, program]).args(arguments).env("PATH", path).output().unwrap()
}

pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn verify_with_fio(more: &str) {
    let mut pair = Pair::in_use(more);
    let uri = format!("--uri={}", pair.alpha.uri());
    for (name, pattern, block) in
        [("small", "--rw=randwrite", "--bs=4k"), ("mixed", "--rw=randrw", "--bsrange=512-256k")]
    {
        let name = format!("--name={name}");
        let arguments = [
            name.as_str(),
            "--ioengine=nbd",
            &uri,
            pattern,
            block,
            "--size=32M",
            "--iodepth=32",
            "--verify=crc32c",
            "--do_verify=1",
            "--verify_fatal=1",
            "--verify_state_save=0",
            "--fsync=64",
        ];
        succeeds("fio", &arguments);
    }
    pair.assert_equal();
}

pub(crate) fn fio() {
    verify_with_fio("");
}

pub(crate) fn fio_with_threads() {
    verify_with_fio("backend: threads");
}

pub(crate) fn clients() {
    let mut pair = Pair::in_use("");
    let uri = pair.alpha.uri();
    let image = pair.folder.path().join("image");
    let content: Vec<u8> = (0..40_u32 << 20).map(|byte| (byte / 4093) as u8).collect();
    std::fs::write(&image, &content).unwrap();
    let image = image.to_str().unwrap();
    succeeds("nbdcopy", &["--flush", image, &uri]);
    let json: serde_json::Value = serde_json::from_str(&succeeds("nbdinfo", &["--json", &uri])).unwrap();
    assert_eq!(json["exports"][0]["can_multi_conn"], true);
    // What was never written is a hole, and copied as one.
    let map: serde_json::Value =
        serde_json::from_str(&succeeds("nbdinfo", &["--map", "--json", &uri])).unwrap();
    let (first, last) = (&map[0], &map[map.as_array().unwrap().len() - 1]);
    assert_eq!((&first["offset"], &first["type"]), (&0.into(), &0.into()), "{map}");
    assert_eq!(last["type"], 3, "{map}");
    let back = pair.folder.path().join("back");
    succeeds("nbdcopy", &[&uri, back.to_str().unwrap()]);
    assert!(std::fs::read(&back).unwrap()[..content.len()] == content);
    // The longer of two compares as equal where it has nothing but zeroes.
    succeeds("qemu-img", &["compare", "-f", "raw", "-F", "raw", image, &uri]);
    let words = [
        "write -P 0x5a 1M 64k",
        "write -z 2M 1M",
        "discard 4M 4M",
        "read -P 0x5a 1M 64k",
        "read -P 0 2M 1M",
        "read -P 0 4M 4M",
        "flush",
    ];
    let mut arguments = vec!["-f", "raw"];
    arguments.extend(words.iter().flat_map(|word| ["-c", *word]));
    arguments.push(&uri);
    let said = succeeds("qemu-io", &arguments);
    assert!(!said.contains("fail"), "{said}");
    // What the protocol does not allow is refused, and the connection goes on.
    let script = "
h.set_strict_mode(0)
size = h.get_size()
for bad in [lambda: h.pwrite(b'x' * 512, size), lambda: h.pread(511, 0), lambda: h.trim(1, 0)]:
    try:
        bad()
        print('taken')
    except nbd.Error as error:
        print('refused', error.errnum)
h.pwrite(b'y' * 512, size - 512)
assert h.pread(512, size - 512) == b'y' * 512
";
    let said = succeeds("nbdsh", &["-u", &uri, "-c", script]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["refused 28", "refused 22", "refused 22"]);
    pair.assert_equal();
}

pub(crate) fn dump(node: &Node) -> String {
    let output = Command::new("drbdmeta")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.0.0")
        .args(["--force", "0", "v09", node.disk().to_str().unwrap(), "internal", "dump-md"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn recover(node: &Node) {
    let output = Command::new("drbdmeta")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.0.0")
        .args(["--force", "0", "v09", node.disk().to_str().unwrap(), "internal", "apply-al"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The current generation in a dump.
fn current(dump: &str) -> String {
    let line = dump.lines().find(|line| line.contains("current-uuid")).unwrap();
    line.split_whitespace().nth(1).unwrap().trim_end_matches(';').trim_start_matches("0x").to_owned()
}

pub(crate) fn drbdmeta() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, 32, |history| history.acknowledged() >= 200);
    drop(client);
    let told = pair.alpha.status()["devices"][0]["current-uuid"].as_str().unwrap().to_owned();
    pair.alpha.down();
    pair.beta.down();
    let clean = dump(&pair.alpha);
    assert_eq!(current(&clean), told, "{clean}");
    assert_eq!(current(&dump(&pair.beta)), told);
    assert!(clean.contains("node-id 0;"), "{clean}");
    // And after a kill: what drbdmeta finds dirty is what the engine finds.
    pair.alpha.start();
    pair.beta.start();
    pair.alpha.wait("in sync", in_sync);
    pair.alpha.order(Verb::Primary { force: false });
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.write(3, 1).unwrap(), 0);
    assert_eq!(client.write(5000, 2).unwrap(), 0);
    pair.alpha.kill();
    pair.beta.kill();
    let disk = std::fs::read(pair.alpha.disk()).unwrap();
    recover(&pair.alpha);
    let recovered = dump(&pair.alpha);
    let bitmap = &recovered[recovered.find("bitmap").unwrap()..];
    // Two extents of 4 MiB: 2 * 1024 blocks, in words of 64.
    assert!(bitmap.contains("16 times 0xFFFFFFFFFFFFFFFF"), "{bitmap}");
    std::fs::write(pair.alpha.disk(), disk).unwrap();
    pair.alpha.start();
    let status = pair.alpha.wait("attached", |status| status["devices"][0]["disk-state"] != "Diskless");
    assert_eq!(crate::pair::peer_device(&status)["out-of-sync"], 2 * 4096);
    // What drbdmeta has recovered can be attached just as well.
    pair.alpha.kill();
    recover(&pair.alpha);
    pair.alpha.start();
    pair.beta.start();
    pair.alpha.wait("in sync again", in_sync);
    pair.assert_equal();
}
