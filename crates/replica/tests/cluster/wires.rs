//! What happens to the wires between nodes, and on the way to their disks.

use replica::Input;
use replica::io::DiskOp;
use replica::wire::Channel;

use super::{Cluster, id, pair};

/// Operations of which a disk does not tell that they are over: which, and what it would say.
pub type Stalled = (fn(&DiskOp) -> bool, Vec<Input>);

impl Cluster {
    /// The wire between two is cut; both notice at once.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert(pair(a, b));
        if self.up.remove(&pair(a, b)).is_some() {
            self.push(a, Input::PeerDown(id(b)));
            self.push(b, Input::PeerDown(id(a)));
        }
        self.pump();
    }

    /// The wire between two is cut, and only one of them notices.
    pub fn cut_noticed_by(&mut self, notices: usize, other: usize) {
        self.cut.insert(pair(notices, other));
        assert!(self.up.remove(&pair(notices, other)).is_some(), "they were connected");
        self.push(notices, Input::PeerDown(id(other)));
        self.pump();
    }

    /// The other one notices, too.
    pub fn notices(&mut self, node: usize, peer: usize) {
        self.push(node, Input::PeerDown(id(peer)));
        self.pump();
    }

    pub fn heal(&mut self, a: usize, b: usize) {
        self.cut.remove(&pair(a, b));
        self.pump();
    }

    /// Data from one to the other is kept back until [`Self::let_pass`]; acknowledgements and pings are not.
    pub fn slow(&mut self, from: usize, to: usize) {
        self.slow.insert((from, to, Channel::Data));
    }

    /// Acknowledgements and pings from one to the other are kept back; data is not.
    pub fn slow_acknowledgements(&mut self, from: usize, to: usize) {
        self.slow.insert((from, to, Channel::Control));
    }

    /// Everything from one to the other is kept back.
    pub fn mute(&mut self, from: usize, to: usize) {
        self.mute.insert((from, to));
    }

    /// What was kept back arrives, and nothing is kept back any more.
    pub fn let_pass(&mut self) {
        self.slow.clear();
        self.mute.clear();
        self.wire.append(&mut self.kept);
        self.pump();
    }

    /// From here on the node is not told that such operations of its disk are over.
    pub fn stall(&mut self, node: usize, which: fn(&DiskOp) -> bool) {
        self.nodes[node].stalled = Some((which, Vec::new()));
    }

    /// It is told of those, and at once of all that come.
    pub fn unstall(&mut self, node: usize) {
        for done in self.nodes[node].stalled.take().map(|(_, stalled)| stalled).unwrap_or_default() {
            self.push(node, done);
        }
        self.pump();
    }
}
