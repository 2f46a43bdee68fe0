//! A link that damages what passes.

use crate::nbd_client::{Client, History};
use crate::pair::{Pair, Setup, in_sync};

const DEPTH: usize = 32;
/// How often it is damaged.
const TIMES: usize = 6;
/// What the content of a block looks like.
const MARK_BYTES: usize = 64;

/// Damages the link while writes pass, and sees that it is noticed and mended each time.
fn damage(setup: Setup<'_>) -> Pair {
    let mut pair = Setup { proxied: true, ..setup }.in_use();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    for time in 1..=TIMES {
        let connections = pair.proxy().connections();
        // Large pieces are data, small ones heads, acknowledgements, pings.
        pair.proxy().damage(if time % 2 == 0 { 4096 } else { 1 });
        let target = history.acknowledged() + 300;
        history.write(&mut client, DEPTH, |history| {
            history.acknowledged() >= target && pair.proxy().damaged() == time
        });
        pair.alpha
            .eventually("it connects anew", || (pair.proxy().connections() >= connections + 2).then_some(()));
        pair.alpha.wait("in sync again", in_sync);
    }
    history.check(&mut client);
    drop(client);
    pair.assert_equal();
    pair
}

/// The content of the first writes.
fn has_passed(pair: &Pair) -> bool {
    (1..10).any(|number| pair.proxy().has_seen(&crate::nbd_client::content(number)[..MARK_BYTES]))
}

pub(crate) fn damaged() {
    let pair = damage(Setup::default());
    assert!(!has_passed(&pair), "data passes in the clear");
}

pub(crate) fn damaged_unprotected() {
    let pair = damage(Setup { unprotected: true, ..Setup::default() });
    assert!(has_passed(&pair), "the other test would find nothing even if there were something");
}
