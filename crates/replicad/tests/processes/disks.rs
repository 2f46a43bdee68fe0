//! Disks that report errors, on either side.

use replicad::control::Verb;

use crate::media::Fault;
use crate::nbd_client::{Client, History};
use crate::pair::{Pair, Setup, connection, in_sync, peer_device};

const DEPTH: usize = 32;
/// What a client is told: EIO.
const EIO: u32 = 5;
const REPORTS: &str = "disk: { on-io-error: call-local-io-error }
handlers: { local-io-error: 'echo $DRBD_RESOURCE >> FOLDER/io-error' }";

fn in_use(more: &str) -> Pair {
    Setup { more, media: true, ..Setup::default() }.in_use()
}

pub(crate) fn primary_detaches() {
    let mut pair = in_use(REPORTS);
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    // In the middle of writes that are under way.
    let mut failed = false;
    history.write(&mut client, DEPTH, |history| {
        if !failed && history.acknowledged() >= 500 {
            pair.alpha.media().fails(Fault::All);
            failed = true;
        }
        history.acknowledged() >= 1500
    });
    assert_eq!(history.acknowledged(), history.begun_blocks(), "no write failed");
    let status = pair.alpha.wait("it has no disk", |status| status["devices"][0]["disk-state"] == "Diskless");
    assert_eq!((&status["role"], connection(&status)), (&"Primary".into(), "Connected"));
    let told = pair.folder.path().join("io-error");
    pair.alpha.eventually("the handler ran", || told.exists().then_some(()));
    history.check(&mut client);
    history.flush(&mut client);
    // The disk works again, and gets what it lacks.
    pair.alpha.media().fails(Fault::Nothing);
    pair.alpha.order(Verb::Attach);
    pair.alpha.wait("in sync again", in_sync);
    history.check(&mut client);
    drop(client);
    pair.settle_on(|pair| &pair.alpha);
}

pub(crate) fn secondary_detaches() {
    let mut pair = in_use("");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 500);
    pair.beta.media().fails(Fault::All);
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 1500);
    assert_eq!(history.acknowledged(), history.begun_blocks(), "no write failed");
    let status = pair.alpha.wait("it knows", |status| peer_device(status)["peer-disk-state"] == "Diskless");
    assert_eq!(status["devices"][0]["disk-state"], "UpToDate");
    pair.beta.media().fails(Fault::Nothing);
    pair.beta.order(Verb::Attach);
    pair.alpha.wait("in sync again", in_sync);
    drop(client);
    pair.settle_on(|pair| &pair.alpha);
}

pub(crate) fn alone() {
    let mut pair = in_use("");
    pair.beta.down();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.write(1, 1).unwrap(), 0);
    assert_eq!(client.flush().unwrap(), 0);
    pair.alpha.media().fails(Fault::All);
    assert_eq!(client.write(2, 2).unwrap(), EIO, "there is no other disk");
    assert_eq!(client.flush().unwrap(), EIO, "and none to flush");
    drop(client);
    // Nothing that was promised is lost.
    pair.alpha.kill();
    pair.alpha.media().fails(Fault::Nothing);
    pair.alpha.start();
    pair.beta.start();
    pair.alpha.wait("in sync again", in_sync);
    pair.alpha.order(Verb::Primary { force: false });
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.read(1), crate::nbd_client::content(1));
    drop(client);
    pair.settle_on(|pair| &pair.alpha);
}

pub(crate) fn passed_on() {
    let mut pair = in_use("disk: { on-io-error: pass_on }");
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut history = History::default();
    history.write(&mut client, DEPTH, |history| history.acknowledged() >= 200);
    history.flush(&mut client);
    pair.alpha.media().fails(Fault::Reads);
    history.check(&mut client);
    pair.alpha.wait("it keeps its disk, and mends it", in_sync);
    pair.alpha.media().fails(Fault::Nothing);
    history.check(&mut client);
    drop(client);
    pair.settle_on(|pair| &pair.alpha);
}
