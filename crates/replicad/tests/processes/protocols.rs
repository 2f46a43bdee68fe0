//! Protocols A and B beside C: what a write waits for, and that a flush waits for everything.

use replicad::control::Verb;

use crate::nbd_client::{Client, History};
use crate::pair::{Setup, connection, in_sync};

const PROTOCOLS: [(&str, &str); 3] = [("A", "protocol: A,"), ("B", "protocol: B,"), ("C", "protocol: C,")];
const DEPTH: usize = 32;

pub(crate) fn waits() {
    for (protocol, net) in PROTOCOLS {
        let mut pair = Setup { net, ..Setup::default() }.in_use();
        let mut client = Client::open(&pair.alpha.nbd()).unwrap();
        assert_eq!(client.write(1, 1).unwrap(), 0);
        pair.beta.stop();
        // A peer that stands still receives nothing: only A does not wait until it is given up.
        assert_eq!(client.write(2, 2).unwrap(), 0);
        let connected = connection(&pair.alpha.status()) == "Connected";
        assert_eq!(connected, protocol == "A", "protocol {protocol}");
        pair.beta.go_on();
        pair.alpha.wait("in sync again", in_sync);
        drop(client);
        pair.assert_equal();
    }
}

pub(crate) fn flushed() {
    for (_, net) in &PROTOCOLS[..2] {
        let mut pair = Setup { net, ..Setup::default() }.in_use();
        let mut client = Client::open(&pair.alpha.nbd()).unwrap();
        let mut history = History::default();
        history.write(&mut client, DEPTH, |history| history.acknowledged() >= 1000);
        history.flush(&mut client);
        let mut killed = false;
        history.write(&mut client, DEPTH, |history| {
            if !killed && history.acknowledged() >= 1500 {
                pair.alpha.kill();
                killed = true;
            }
            false
        });
        pair.beta.wait("it noticed", |status| connection(status) != "Connected");
        pair.beta.order(Verb::Primary { force: false });
        let mut client = Client::open(&pair.beta.nbd()).unwrap();
        history.check_flushed(&mut client);
        pair.alpha.start();
        pair.beta.wait("in sync again", in_sync);
        drop(client);
        pair.assert_equal();
    }
}
