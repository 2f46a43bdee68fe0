//! A link that is too slow for what is written: the Primary goes Ahead of its peer, or lets go of it, and brings it back.

use std::cell::Cell;
use std::time::Duration;

use crate::nbd_client::{Client, History};
use crate::pair::{Pair, Setup, connection, in_sync, peer_device};

const DEPTH: usize = 32;
/// How long each piece of at most 64 KiB takes on a slow link.
const SLOW: Duration = Duration::from_millis(100);
/// Writes that are answered at the usual speed, before the link is slow.
const BEFORE: usize = 200;
/// Writes looked for congestion at a time, and how often at most: far more than a slow link takes meanwhile.
const STEP: usize = 50;
const MOST: usize = 20_000;

/// Writes over a slow link until the status says so.
fn write_until(pair: &Pair, client: &mut Client, history: &mut History, state: &str) {
    history.write(client, DEPTH, |history| history.acknowledged() >= BEFORE);
    pair.proxy().slow(SLOW);
    let seen = Cell::new(false);
    let next = Cell::new(BEFORE);
    history.write(client, DEPTH, |history| {
        let acknowledged = history.acknowledged();
        // Seen once is enough: it comes back by itself.
        if !seen.get() && acknowledged >= next.get() {
            next.set(acknowledged + STEP);
            let status = pair.alpha.status();
            seen.set(peer_device(&status)["replication-state"] == state || connection(&status) == state);
        }
        seen.get() || acknowledged >= MOST
    });
    assert!(
        seen.get(),
        "{} writes were answered over a slow link and it was never {state}",
        history.acknowledged()
    );
}

fn back(pair: &mut Pair, mut client: Client, history: &mut History) {
    pair.proxy().slow(Duration::ZERO);
    pair.alpha.wait("in sync again", in_sync);
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
}

pub(crate) fn ahead() {
    let net = "protocol: A, on-congestion: pull-ahead, congestion-fill: 1M,";
    let mut pair = Setup { net, proxied: true, ..Setup::default() }.in_use();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    write_until(&pair, &mut client, &mut history, "Ahead");
    pair.beta.wait("it knows that it is outdated", |status| status["devices"][0]["disk-state"] != "UpToDate");
    history.flush(&mut client);
    back(&mut pair, client, &mut history);
}

pub(crate) fn disconnect() {
    let net = "protocol: A, on-congestion: disconnect, congestion-fill: 256K,";
    let mut pair = Setup { net, proxied: true, ..Setup::default() }.in_use();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    write_until(&pair, &mut client, &mut history, "Connecting");
    back(&mut pair, client, &mut history);
}
