//! Processes that die, stop, and come back.

use replicad::control::Verb;

use crate::nbd_client::{Client, History};
use crate::pair::{Pair, connection, in_sync, peer_device};

/// Writes under way at a time.
const DEPTH: usize = 32;
const BLOCK_KIB: u64 = 4;

pub(crate) fn killed_secondary() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 2000);
    // Under load: it is killed while writes are under way.
    let mut killed = false;
    history.write(&mut client, DEPTH, |history| {
        if !killed && history.acknowledged() >= 3000 {
            pair.beta.kill();
            killed = true;
        }
        history.acknowledged() >= 4000
    });
    assert_eq!(client.flush().unwrap(), 0);
    let alone = pair.alpha.wait("it noticed", |status| connection(status) != "Connected");
    let dirty = peer_device(&alone)["out-of-sync"].as_u64().unwrap();
    assert!((1000 * BLOCK_KIB..4000 * BLOCK_KIB).contains(&dirty), "{dirty} KiB are marked");
    let before = alone["sent"].as_u64().unwrap();
    pair.beta.start();
    let after = pair.alpha.wait("in sync again", in_sync)["sent"].as_u64().unwrap();
    let sent = after - before;
    // What was changed goes over the wire, and a little for talking about it.
    assert!((dirty..dirty * 11 / 10 + 256).contains(&sent), "{sent} KiB were sent for {dirty} KiB");
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn stopped_secondary() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 500);
    pair.beta.stop();
    // It does not answer, yet its connections stand: it is given up after the timeout.
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 1500);
    pair.alpha.wait("it is left behind", |status| connection(status) != "Connected");
    pair.beta.go_on();
    pair.alpha.wait("in sync again", in_sync);
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn killed_primary() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    let mut killed = false;
    history.write(&mut client, DEPTH, |history| {
        if !killed && history.acknowledged() >= 2000 {
            pair.alpha.kill();
            killed = true;
        }
        false
    });
    assert!(history.acknowledged() >= 2000);
    pair.beta.wait("it noticed", |status| connection(status) != "Connected");
    pair.beta.order(Verb::Primary { force: false });
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    history.check(&mut client);
    // Life goes on there, and the old Primary takes over what it has.
    let more = history.acknowledged() + 500;
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= more);
    pair.alpha.start();
    pair.beta.wait("in sync again", in_sync);
    assert_eq!(pair.alpha.status()["role"], "Secondary");
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn both_killed() {
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 1000);
    assert_eq!(client.flush().unwrap(), 0);
    pair.alpha.kill();
    pair.beta.kill();
    pair.alpha.start();
    pair.beta.start();
    // The active extents of the crashed Primary are compared, or copied, again.
    pair.alpha.wait("in sync again", in_sync);
    pair.beta.order(Verb::Primary { force: false });
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn wrong_secret() {
    let mut pair = Pair::new("");
    pair.alpha.wait("connected", |status| connection(status) == "Connected");
    pair.beta.kill();
    let file = pair.beta.config();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("of this test only", "of somebody else")).unwrap();
    pair.beta.start();
    let status = pair.alpha.wait("it was tried", |status| {
        status["connections"][0]["trouble"].as_str().is_some_and(|trouble| !trouble.contains("refused"))
    });
    assert_eq!(connection(&status), "Connecting");
    assert_eq!(connection(&pair.beta.status()), "Connecting");
}

pub(crate) fn quorum() {
    const EIO: u32 = 5;
    for (policy, waits) in [("suspend-io", true), ("io-error", false)] {
        let more = format!("options: {{ quorum: all, on-no-quorum: {policy} }}");
        let mut pair = Pair::in_use(&more);
        let mut client = Client::open(&pair.alpha.nbd()).unwrap();
        assert_eq!(client.write(1, 1).unwrap(), 0);
        pair.beta.stop();
        let quorum = |status: &serde_json::Value| status["devices"][0]["quorum"] == true;
        pair.alpha.wait("it is alone", |status| !quorum(status));
        client.begin_write(2, 2);
        if waits {
            assert_eq!(pair.alpha.status()["suspended"], true);
            assert!(!client.has_answer(), "without quorum nothing is promised");
        } else {
            assert_eq!(client.answer().unwrap(), (2, EIO));
        }
        pair.beta.go_on();
        pair.alpha.wait("in sync again", in_sync);
        if waits {
            assert_eq!(client.answer().unwrap(), (2, 0));
        }
        assert_eq!(client.write(3, 3).unwrap(), 0);
        drop(client);
        pair.assert_equal();
    }
}

pub(crate) fn verify() {
    use std::os::unix::fs::FileExt;
    let mut pair = Pair::in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 500);
    history.flush(&mut client);
    // Behind everybody's back: a bit in some blocks of the other disk.
    let spoilt: Vec<u64> = history.blocks().step_by(13).collect();
    let disk = std::fs::File::options().read(true).write(true).open(pair.beta.disk()).unwrap();
    for block in &spoilt {
        let at = block * BLOCK_KIB * 1024 + 700;
        let mut byte = [0];
        disk.read_exact_at(&mut byte, at).unwrap();
        disk.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
    let mut events = pair.alpha.events();
    pair.alpha.order(Verb::Verify { peer: None });
    assert_eq!(events.next_with("verified")["differing-blocks"], spoilt.len());
    let status = pair.alpha.wait("they are marked", |status| peer_device(status)["out-of-sync"] != 0);
    assert_eq!(peer_device(&status)["out-of-sync"], spoilt.len() as u64 * BLOCK_KIB);
    // Connecting anew mends them, and only them.
    let before = status["sent"].as_u64().unwrap();
    pair.alpha.order(Verb::Disconnect { peer: None });
    pair.alpha.order(Verb::Connect { peer: None, discard_my_data: false });
    pair.beta.order(Verb::Connect { peer: None, discard_my_data: false });
    let sent = pair.alpha.wait("in sync again", in_sync)["sent"].as_u64().unwrap() - before;
    let differing = spoilt.len() as u64 * BLOCK_KIB;
    assert!((differing..differing * 11 / 10 + 256).contains(&sent), "{sent} KiB were sent for {differing}");
    drop(client);
    pair.assert_equal();
}
