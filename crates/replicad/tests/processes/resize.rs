//! A volume that grows while it is in use.

use replicad::control::Verb;

use crate::interop::succeeds;
use crate::nbd_client::{Client, History};
use crate::pair::{DISK_BYTES, Node, Pair, in_sync};

const GROWN_BYTES: u64 = DISK_BYTES + (64 << 20);
const RESIZE: Verb = Verb::Resize { size: None, assume_clean: false };
const PRIMARY: Verb = Verb::Primary { force: false };

fn enlarge(node: &mut Node) {
    node.device_bytes = GROWN_BYTES;
    std::fs::File::options().write(true).open(node.disk()).unwrap().set_len(GROWN_BYTES).unwrap();
}

fn room(bytes: u64) -> u64 {
    drbd_meta::Layout::internal(bytes, 1).unwrap().data_bytes()
}

pub(crate) fn grows() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.bytes, room(DISK_BYTES));
    let mut history = History::default();
    history.write(&mut client, 32, |history| history.acknowledged() >= 500);
    enlarge(&mut pair.alpha);
    let wanted = Verb::Resize { size: Some(room(GROWN_BYTES)), assume_clean: false };
    let refusal = pair.alpha.refused(wanted);
    assert!(refusal.contains("the disk of beta has room for"), "{refusal}");
    enlarge(&mut pair.beta);
    assert!(pair.beta.refused(RESIZE).contains("Primary"));
    // The old metadata lies in what becomes data: both sides hold different things there.
    pair.alpha.order(RESIZE);
    pair.alpha.wait("in sync", in_sync);
    let size = |node: &Node| node.status()["devices"][0]["size"].as_u64().unwrap();
    assert_eq!([size(&pair.alpha), size(&pair.beta)], [room(GROWN_BYTES) / 1024; 2]);
    history.check(&mut client);
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.bytes, room(GROWN_BYTES));
    assert_eq!(client.write(client.bytes / 4096 - 1, 9).unwrap(), 0);
    history.write(&mut client, 32, |history| history.acknowledged() >= 1500);
    // The metadata at its new place carries it through a crash of both.
    assert_eq!(client.flush().unwrap(), 0);
    both_crash(&mut pair);
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    assert_eq!(client.bytes, room(GROWN_BYTES));
    history.check(&mut client);
    assert_eq!(client.read(client.bytes / 4096 - 1), crate::nbd_client::content(9));
    drop(client);
    pair.assert_equal();
}

/// Both processes are killed and come back; then beta is Primary.
fn both_crash(pair: &mut Pair) {
    pair.alpha.kill();
    pair.beta.kill();
    pair.alpha.start();
    pair.beta.start();
    pair.beta.wait("in sync", in_sync);
    pair.beta.order(PRIMARY);
}

/// Both devices are larger already when both processes are started anew; nobody has ordered the volume to grow.
pub(crate) fn started_in_between() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, 32, |history| history.acknowledged() >= 500);
    assert_eq!(client.flush().unwrap(), 0);
    enlarge(&mut pair.alpha);
    enlarge(&mut pair.beta);
    both_crash(&mut pair);
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    assert_eq!(client.bytes, room(DISK_BYTES), "it is not larger by itself");
    history.check(&mut client);
    pair.beta.order(RESIZE);
    pair.beta.wait("in sync", in_sync);
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    assert_eq!(client.bytes, room(GROWN_BYTES));
    history.write(&mut client, 32, |history| history.acknowledged() >= 1000);
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn alone_is_refused() {
    let mut pair = Pair::in_use("");
    enlarge(&mut pair.alpha);
    pair.beta.down();
    let refusal = pair.alpha.refused(RESIZE);
    assert_eq!(refusal, "beta has to be connected and in sync");
}

/// The file system on the block device grows with it.
pub(crate) fn block_device() {
    let mut pair = Pair::in_use("attach: fuse");
    let device = crate::blockdev::device(&pair.alpha);
    let device = device.to_str().unwrap();
    let size = || succeeds("blockdev", &["--getsize64", device]).trim().parse::<u64>().unwrap();
    assert_eq!(size(), room(DISK_BYTES));
    enlarge(&mut pair.alpha);
    enlarge(&mut pair.beta);
    pair.alpha.order(RESIZE);
    pair.alpha.eventually("the device has grown", || (size() == room(GROWN_BYTES)).then_some(()));
    pair.alpha.wait("in sync", in_sync);
    succeeds(
        "dd",
        &["if=/dev/urandom", &format!("of={device}"), "bs=1M", "seek=150", "count=8", "conv=fsync,notrunc"],
    );
    pair.assert_equal();
}

pub(crate) fn drbdmeta_reads_it() {
    let mut pair = Pair::in_use("");
    enlarge(&mut pair.alpha);
    enlarge(&mut pair.beta);
    pair.alpha.order(RESIZE);
    pair.alpha.wait("in sync", in_sync);
    pair.assert_equal();
    for node in [&pair.alpha, &pair.beta] {
        let dump = crate::interop::dump(node);
        assert!(dump.contains(&format!("la-size-sect {};", room(GROWN_BYTES) / 512)), "{dump}");
    }
}
