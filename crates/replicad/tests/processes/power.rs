//! Power cuts with disks that lose every write that was not flushed, whole or in part.

use replicad::control::Verb;

use crate::nbd_client::{Client, History};
use crate::pair::{Setup, connection, in_sync};

const DEPTH: usize = 32;
/// Power cuts of one test.
const ROUNDS: u64 = 5;

/// Which sectors of a cache happen to reach the disk: none in the first round, then another part in each.
fn survives(round: u64) -> impl Fn(u64) -> bool {
    move |sector| round > 0 && (sector + round).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 < round
}

pub(crate) fn both() {
    let mut pair = Setup { media: true, ..Setup::default() }.in_use();
    let mut history = History::default();
    for round in 0..ROUNDS {
        // The node that works is another one each time.
        let (worker, other) = if round % 2 == 0 {
            (&mut pair.alpha, &mut pair.beta)
        } else {
            (&mut pair.beta, &mut pair.alpha)
        };
        worker.order(Verb::Primary { force: false });
        let mut client = Client::open(&worker.nbd()).unwrap();
        let target = history.acknowledged() + 400;
        history.write(&mut client, DEPTH, |history| history.acknowledged() >= target);
        let before = worker.media().flushes();
        history.flush(&mut client);
        assert!(worker.media().flushes() > before, "a flush reaches the disk");
        let target = target + 400;
        let mut cut = false;
        history.write(&mut client, DEPTH, |history| {
            if !cut && history.acknowledged() >= target {
                assert!(worker.media().volatile_sectors() > 0, "there is something to lose");
                worker.power_off(survives(round));
                other.power_off(survives(round + 7));
                cut = true;
            }
            false
        });
        worker.power_on();
        other.power_on();
        worker.wait("in sync again", in_sync);
        // Whoever is asked says the same.
        other.order(Verb::Primary { force: false });
        let mut client = Client::open(&other.nbd()).unwrap();
        history.check_flushed(&mut client);
        drop(client);
        let other = &*other;
        other.eventually("nobody has it open", || other.is_demoted());
    }
    pair.alpha.order(Verb::Primary { force: false });
    pair.settle_on(|pair| &pair.alpha);
}

pub(crate) fn one() {
    let mut pair = Setup { media: true, ..Setup::default() }.in_use();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    // First the Secondary: it comes back without what it had acknowledged and not flushed.
    let mut cut = false;
    history.write(&mut client, DEPTH, |history| {
        if !cut && history.acknowledged() >= 500 {
            pair.beta.power_off(|_| false);
            cut = true;
        }
        history.acknowledged() >= 1000
    });
    pair.alpha.wait("it noticed", |status| connection(status) != "Connected");
    pair.beta.power_on();
    pair.alpha.wait("in sync again", in_sync);
    // Then the Primary: all that was acknowledged is on the other side.
    let mut cut = false;
    history.write(&mut client, DEPTH, |history| {
        if !cut && history.acknowledged() >= 1500 {
            pair.alpha.power_off(|_| false);
            cut = true;
        }
        false
    });
    pair.beta.wait("it noticed", |status| connection(status) != "Connected");
    pair.beta.order(Verb::Primary { force: false });
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    history.check(&mut client);
    pair.alpha.power_on();
    pair.beta.wait("in sync again", in_sync);
    history.check(&mut client);
    drop(client);
    pair.settle_on(|pair| &pair.beta);
}
