//! Two ends in one process, over loopback: what each hears of the other, whatever becomes of the connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use replica::NodeId;
use replica::wire::Message;
use replica_link::{Endpoint, Security};

use super::peers::{PeerEvent, Peers};
use crate::poll::Poller;

fn node(id: u8) -> NodeId {
    NodeId::new(id).unwrap()
}

/// One end.
struct End {
    peers: Peers,
    poller: Poller,
}

impl End {
    fn new(id: u8, own: SocketAddr, peer: SocketAddr) -> Self {
        let mut poller = Poller::new().unwrap();
        let endpoint = Endpoint { volume: "v".to_owned(), node: node(id), security: Security::Unprotected };
        let addresses = BTreeMap::from([(node(1 - id), peer)]);
        let peers =
            Peers::new(endpoint, own, addresses, Duration::from_millis(10), (&mut poller, 0)).unwrap();
        Self { peers, poller }
    }

    fn go_on(&mut self) {
        let mut ready = Vec::new();
        self.poller.wait(Some(Duration::from_millis(1)), &mut ready).unwrap();
        for ready in ready {
            self.peers.ready(ready, &mut self.poller);
        }
        self.peers.tick(Instant::now(), &mut self.poller);
        self.peers.flush(&mut self.poller);
    }

    fn say(&mut self, message: &Message) {
        self.peers.send(node(1), message);
        self.peers.flush(&mut self.poller);
    }

    /// What happened, in words; messages that do not count any more are left out.
    fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(event) = self.peers.events.pop_front() {
            match event {
                PeerEvent::Up(_) => heard.push("up".to_owned()),
                PeerEvent::Down(_) => heard.push("down".to_owned()),
                PeerEvent::Message(from, epoch, message) if self.peers.is_current(from, epoch) => {
                    heard.push(message.name().to_owned());
                }
                PeerEvent::Message(..) => {}
            }
        }
        heard
    }
}

fn connected() -> (End, End) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (here, there) = (free(), free());
    let (mut near, mut far) = (End::new(0, here, there), End::new(1, there, here));
    near.peers.want(node(1));
    far.peers.want(node(0));
    let mut up = [false; 2];
    while up != [true; 2] {
        for (end, up) in [&mut near, &mut far].into_iter().zip(&mut up) {
            end.go_on();
            *up |= end.heard() == ["up"];
        }
    }
    (near, far)
}

#[test]
fn the_last_words_are_heard_also_when_the_end_is_noticed_by_writing() {
    let (mut near, mut far) = connected();
    // What was not read turns the end of the other side into an error here.
    near.say(&Message::Ping {});
    near.say(&Message::Barrier { epoch: 1 });
    far.peers.send(node(0), &Message::Barrier { epoch: 2 });
    far.peers.send(node(0), &Message::BarrierDone { epoch: 1 });
    far.peers.flush(&mut far.poller);
    drop(far);
    let mut heard = Vec::new();
    while !heard.contains(&"down".to_owned()) {
        // Nothing is read here but what is read because of the error.
        near.say(&Message::Ping {});
        near.say(&Message::Barrier { epoch: 2 });
        heard.extend(near.heard());
    }
    assert_eq!(heard, ["Barrier", "BarrierDone", "down"]);
}

#[test]
fn what_was_said_before_an_order_to_disconnect_does_not_count() {
    let (mut near, mut far) = connected();
    far.peers.send(node(0), &Message::Barrier { epoch: 2 });
    far.peers.flush(&mut far.poller);
    while near.peers.events.is_empty() {
        near.go_on();
    }
    near.peers.disconnect(node(1), false);
    assert!(near.heard().is_empty());
}
