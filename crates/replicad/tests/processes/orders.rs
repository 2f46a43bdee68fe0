//! What can be ordered, what is refused and why, and what is told.

use replicad::control::{Outcome, Verb};

use crate::nbd_client::Client;
use crate::pair::{Pair, connection, established, in_sync};

const PRIMARY: Verb = Verb::Primary { force: false };
const SECONDARY: Verb = Verb::Secondary { force: false };

pub(crate) fn refusals() {
    let pair = Pair::new("");
    pair.alpha.wait("the handshake is over", established);
    assert!(pair.alpha.refused(PRIMARY).contains("Inconsistent"), "blank disks hold nothing");
    pair.alpha.order(Verb::NewCurrentUuid { clear_bitmap: true });
    pair.alpha.wait("both up to date", in_sync);
    assert!(Client::open(&pair.alpha.nbd()).is_err(), "a Secondary cannot be opened");
    pair.alpha.order(PRIMARY);
    assert!(pair.beta.refused(PRIMARY).contains("Primary"), "there is one already");
    let client = Client::open(&pair.alpha.nbd()).unwrap();
    let refusal = pair.alpha.refused(SECONDARY);
    assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
    drop(client);
    // That it is gone has to arrive first.
    while pair.alpha.try_order(SECONDARY).outcome != Outcome::Done {}
    pair.beta.order(PRIMARY);
    assert!(pair.alpha.refused(Verb::NewCurrentUuid { clear_bitmap: true }).contains("just created"));
    let unknown =
        pair.alpha.try_order(Verb::Connect { peer: Some("gamma".to_owned()), discard_my_data: false });
    assert_eq!(unknown.outcome, Outcome::Failed);
    assert!(unknown.message.unwrap().contains("gamma"));
}

pub(crate) fn split_brain() {
    let mut pair = Pair::in_use("");
    pair.alpha.order(SECONDARY);
    for node in [&pair.alpha, &pair.beta] {
        node.order(Verb::Disconnect { peer: None });
    }
    let nodes = [&pair.alpha, &pair.beta];
    for (number, node) in (1..).zip(nodes) {
        node.wait("apart", |status| connection(status) == "StandAlone");
        node.order(PRIMARY);
        let mut client = Client::open(&node.nbd()).unwrap();
        assert_eq!(client.write(7, number).unwrap(), 0);
    }
    let connect = |discard_my_data| Verb::Connect { peer: None, discard_my_data };
    for node in nodes {
        while node.try_order(SECONDARY).outcome != Outcome::Done {}
        node.order(connect(false));
    }
    for node in nodes {
        node.wait("split brain is seen", |status| connection(status) == "StandAlone");
    }
    pair.beta.order(connect(true));
    pair.alpha.order(connect(false));
    pair.alpha.wait("in sync again", in_sync);
    pair.beta.order(PRIMARY);
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    assert_eq!(client.read(7), crate::nbd_client::content(1), "alpha's data is what counts");
    drop(client);
    pair.assert_equal();
}

pub(crate) fn events() {
    let pair = Pair::in_use("");
    let mut events = pair.beta.events();
    let first = events.next();
    assert_eq!((&first["event"], &first["version"]), (&"exists".into(), &1.into()));
    assert_eq!(first["status"]["devices"][0]["disk-state"], "UpToDate");
    pair.alpha.order(SECONDARY);
    pair.beta.order(PRIMARY);
    let role = std::iter::repeat_with(|| events.next()).find(|event| event["object"] == "resource").unwrap();
    assert_eq!((&role["event"], &role["role"]), (&"change".into(), &"Primary".into()));
}

pub(crate) fn up_and_down() {
    let mut pair = Pair::in_use("");
    pair.alpha.order(Verb::Down);
    pair.alpha.wait_for_end();
    let left = pair.beta.wait("it is alone", |status| connection(status) != "Connected");
    assert_eq!(left["devices"][0]["disk-state"], "UpToDate");
    pair.alpha.start();
    pair.alpha.wait("in sync", in_sync);
    // Without its disk it is still there; it takes the disk again.
    pair.alpha.order(Verb::Detach);
    assert_eq!(pair.alpha.status()["devices"][0]["disk-state"], "Diskless");
    pair.alpha.order(Verb::Up);
    pair.alpha.wait("in sync", in_sync);
    pair.assert_equal();
}
