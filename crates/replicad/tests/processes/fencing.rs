//! The fence-peer handler: every exit code that it may have, while I/O waits for it and while a promotion does.

use std::path::Path;

use replicad::control::Verb;

use crate::nbd_client::Client;
use crate::pair::{Pair, Setup, connection, in_sync};

/// It tells that it was called, and waits for what it is to answer.
const HANDLERS: &str = r#"handlers:
  fence-peer: 'echo "fence $DRBD_RESOURCE $DRBD_PEER" >> FOLDER/calls; until mv FOLDER/answer FOLDER/told; do sleep 0.02; done 2> /dev/null; exit $(cat FOLDER/told)'
  unfence-peer: 'echo "unfence $DRBD_RESOURCE $DRBD_PEER" >> FOLDER/calls'
"#;
/// Not known to the manual: a handler that fails, and one that is not there.
const FAILURES: [i32; 3] = [0, 1, 127];
const IS_PRIMARY: i32 = 6;

fn calls(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("calls")).unwrap_or_default()
}

fn answer(pair: &Pair, code: i32) {
    let file = pair.folder.path().join("new");
    std::fs::write(&file, code.to_string()).unwrap();
    std::fs::rename(&file, pair.folder.path().join("answer")).unwrap();
}

fn forget(pair: &Pair) {
    std::fs::write(pair.folder.path().join("calls"), "").unwrap();
}

/// The Primary loses its peer, and a write waits for the handler; then it ends with this code.
fn lost_peer(pair: &mut Pair, code: i32) {
    let good = !FAILURES.contains(&code) && code != IS_PRIMARY;
    forget(pair);
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    let mut events = pair.alpha.events();
    pair.beta.kill();
    let folder = pair.folder.path().to_owned();
    pair.alpha.eventually("the handler runs", || calls(&folder).contains("fence r0 beta\n").then_some(()));
    client.begin_write(u64::from(code.unsigned_abs()), 1);
    assert_eq!(pair.alpha.status()["suspended"], true, "exit code {code}");
    assert!(!client.has_answer(), "I/O waits for the handler");
    answer(pair, code);
    if good {
        assert_eq!(client.answer().unwrap(), (1, 0), "exit code {code}");
    } else {
        assert_eq!(events.next_with("exit-code")["exit-code"], code);
        assert_eq!(pair.alpha.status()["suspended"], true, "exit code {code}");
        assert!(!client.has_answer(), "nobody knows what the peer does");
        assert_eq!(pair.alpha.status()["suspended-for"], serde_json::json!(["fencing"]));
        let told = pair.alpha.try_order(Verb::Connect { peer: None, discard_my_data: false });
        assert!(
            told.message.unwrap().contains("beta is not known to be fenced"),
            "an order does not end in silence"
        );
        pair.alpha.order(Verb::ResumeIo);
        assert_eq!(client.answer().unwrap(), (1, 0));
    }
    assert_eq!(pair.alpha.status()["suspended"], false);
    pair.beta.start();
    pair.alpha.wait("in sync again", in_sync);
    if code == 4 {
        pair.alpha
            .eventually("it is taken back", || calls(&folder).contains("unfence r0 beta\n").then_some(()));
    }
}

pub(crate) fn exit_codes() {
    let setup = Setup { net: "fencing: resource-and-stonith,", more: HANDLERS, ..Setup::default() };
    let mut pair = setup.in_use();
    for code in [3, 4, 5, 6, 7].into_iter().chain(FAILURES) {
        lost_peer(&mut pair, code);
    }
    pair.assert_equal();
}

/// Orders a promotion that waits for the handler, and has it answer.
fn promote(pair: &Pair, code: i32) -> replicad::control::Reply {
    forget(pair);
    answer(pair, code);
    let reply = pair.beta.try_order(Verb::Primary { force: false });
    // What was in sync before may still be told so.
    let calls = calls(pair.folder.path());
    let fenced: Vec<&str> = calls.lines().filter(|call| call.starts_with("fence ")).collect();
    assert_eq!(fenced, ["fence r0 alpha"]);
    reply
}

pub(crate) fn promotion() {
    use replicad::control::Outcome::{Done, Refused};
    let setup = Setup { net: "fencing: resource-only,", more: HANDLERS, ..Setup::default() };
    let mut pair = setup.in_use();
    let mut client = Client::open(&pair.alpha.nbd()).unwrap();
    assert_eq!(client.write(1, 1).unwrap(), 0);
    pair.alpha.kill();
    pair.beta.wait("it noticed", |status| connection(status) != "Connected");
    for code in FAILURES {
        let reply = promote(&pair, code);
        assert_eq!(reply.outcome, Refused, "exit code {code}");
        assert!(reply.message.unwrap().contains("not known to be outdated or fenced"));
    }
    // The peer is Primary, and goes on without the data here.
    assert_eq!(promote(&pair, IS_PRIMARY).outcome, Refused);
    assert_eq!(pair.beta.status()["devices"][0]["disk-state"], "Outdated");
    pair.alpha.start();
    pair.beta.wait("in sync again", in_sync);
    pair.alpha.kill();
    pair.beta.wait("it noticed", |status| connection(status) != "Connected");
    assert_eq!(promote(&pair, 7).outcome, Done);
    let mut client = Client::open(&pair.beta.nbd()).unwrap();
    assert_eq!(client.read(1), crate::nbd_client::content(1));
    drop(client);
    pair.alpha.start();
    pair.beta.wait("in sync again", in_sync);
    pair.assert_equal();
}
