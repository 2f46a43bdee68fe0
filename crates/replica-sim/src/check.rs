//! The checkers: what must hold after every step, whatever happened.

use replica::activity_log::AL_EXTENT_BLOCKS;
use replica::config::Protocol;
use replica::generation::Generations;
use replica::io::Event;
use replica::split_brain::Policies;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::{ClientError, Replica, RequestId};

use crate::disk::Block;
use crate::history::Answered;
use crate::model::Promise;
use crate::scenario::{Kind, node};
use crate::world::World;

/// The nodes with disks.
pub(crate) const DISKFUL: [usize; 2] = [0, 1];

impl World {
    /// Looks at everything.
    pub(crate) fn check(&mut self) {
        self.check_roles();
        self.check_marks();
        self.note_in_sync();
    }

    fn replica(&self, at: usize) -> Option<&Replica> {
        self.nodes[at].replica.as_ref()
    }

    /// Whether both think that they are connected, and are.
    fn are_connected(&self, a: usize, b: usize) -> bool {
        let thinks = |at: usize, of: usize| {
            self.replica(at).and_then(|replica| replica.peer_status(node(of))).is_some_and(|status| {
                status.connection == ConnectionState::Connected && status.replication != ReplicationState::Off
            })
        };
        thinks(a, b) && thinks(b, a) && !self.links[Self::link_of(a, b)].dead
    }

    /// Never two Primaries that are connected.
    fn check_roles(&mut self) {
        let primary = |at: usize| self.replica(at).is_some_and(|replica| replica.role() == Role::Primary);
        let both = primary(0) && primary(1);
        if both && self.are_connected(0, 1) {
            self.fail("nodes 0 and 1 are connected, and both Primary".to_owned());
        }
        if self.scenario.kind == Kind::Fencing && both {
            self.fail("nodes 0 and 1 are both Primary in spite of fencing".to_owned());
        }
    }

    /// Every block that differs is spoken for, by one side or the other.
    fn check_marks(&mut self) {
        let [a, b] = DISKFUL;
        for index in 0..self.scenario.hot.len() {
            if self.nodes[a].disk.visible[index] == self.nodes[b].disk.visible[index] {
                continue;
            }
            let block = self.scenario.hot[index];
            if self.speaks_for(a, b, block) || self.speaks_for(b, a, block) || self.is_full_copy() {
                continue;
            }
            let (left, right) = (self.nodes[a].disk.visible[index], self.nodes[b].disk.visible[index]);
            self.fail(format!("block {block} differs and nobody has marked it: {left:?} and {right:?}"));
            return;
        }
    }

    fn speaks_for(&self, at: usize, of: usize, block: u64) -> bool {
        let live = self.replica(at);
        let in_memory = live.is_some_and(|replica| {
            replica.bitmap(node(of)).is_some_and(|bitmap| bitmap.is_dirty(block))
                || replica.is_unstable(block)
        });
        let attached = live.is_some_and(|replica| replica.bitmap(node(of)).is_some());
        in_memory || (!attached && self.speaks_on_disk(at, of, block))
    }

    fn speaks_on_disk(&self, at: usize, of: usize, block: u64) -> bool {
        let disk = &self.nodes[at].disk;
        let marked = disk.bitmaps.get(&node(of)).is_some_and(|bitmap| bitmap.is_dirty(block));
        let extent = u32::try_from(block / AL_EXTENT_BLOCKS).unwrap_or(u32::MAX);
        let logged = !disk.superblock.al_clean && disk.active_extents().contains(&extent);
        marked || logged
    }

    /// Whether the generations say that everything will be copied, or nothing be joined: then marks do not matter.
    fn is_full_copy(&self) -> bool {
        let generations = |at: usize| -> Generations {
            let live = self.replica(at).and_then(Replica::generations);
            live.unwrap_or(&self.nodes[at].disk.superblock.generations).clone()
        };
        let (mine, theirs) = (generations(0), generations(1));
        let by_marks = mine.current.same(theirs.current)
            || mine.current.same(theirs.slot(node(0)))
            || theirs.current.same(mine.slot(node(1)))
            || mine.slot(node(1)).same(theirs.slot(node(0)));
        !by_marks || mine.current.is_just_created() || theirs.current.is_just_created()
    }

    /// Whether a node's disk follows the Primary `at` just now.
    fn follows(&self, at: usize, other: usize) -> bool {
        let Some(replica) = self.replica(at) else { return false };
        if other == at {
            let target = (0..self.nodes.len()).filter_map(|peer| replica.peer_status(node(peer)));
            let syncs = target.into_iter().any(|peer| peer.replication == ReplicationState::SyncTarget);
            return replica.disk_state() == DiskState::UpToDate || syncs;
        }
        replica.peer_status(node(other)).is_some_and(|status| {
            status.connection == ConnectionState::Connected
                && status.disk.has_data()
                && matches!(
                    status.replication,
                    ReplicationState::Established
                        | ReplicationState::SyncSource
                        | ReplicationState::SyncTarget
                        | ReplicationState::VerifyS
                        | ReplicationState::VerifyT
                )
        })
    }

    /// A client was answered. What must not be.
    pub(crate) fn note_answer(
        &mut self,
        at: usize,
        id: RequestId,
        result: Result<Option<bytes::Bytes>, ClientError>,
    ) -> Option<String> {
        // Under protocol A a Primary that is cut off answers until it notices; only its flushes are promises.
        let lax = self.scenario.kind == Kind::Reckless || self.scenario.configs[0].protocol == Protocol::A;
        let line = self.history.holds[at];
        let answered = match self.history.answer(id, &result, lax) {
            Ok(answered) => answered,
            Err(problem) => return Some(problem),
        };
        let Answered::Write { places, durable } = answered else { return None };
        if places.is_empty() {
            return None;
        }
        self.note_left_behind(at);
        let mut holders = Vec::new();
        for other in DISKFUL {
            // It may have been written there just before the connection broke.
            let disk = &self.nodes[other].disk;
            let content = if durable { &disk.stable } else { &disk.visible };
            let has = self.follows(at, other) || !self.history.lacks(line, content, &places);
            if has {
                holders.push(other);
            } else {
                self.history.stale[other] = true;
            }
        }
        if let [only] = holders[..] {
            self.history.solo[only] += 1;
        }
        None
    }

    /// A write was answered: a peer that is left behind may not be promoted from now on, whatever guards the cluster.
    fn note_left_behind(&mut self, at: usize) {
        let other = 1 - at;
        let left = self
            .replica(at)
            .and_then(|replica| replica.peer_status(node(other)))
            .is_some_and(|peer| peer.replication == ReplicationState::Ahead);
        let lacks = self.nodes[at].disk.visible != self.nodes[other].disk.visible;
        self.behind[other] |= left && lacks;
    }

    /// A node became Primary: its content is what the promises say.
    pub(crate) fn promoted(&mut self, at: usize) {
        let strict = self.scenario.kind != Kind::Reckless;
        let own = self.replica(at).is_some_and(|replica| replica.disk_state() == DiskState::UpToDate);
        let from = if own { at } else { 1 - at };
        if self.behind[from] {
            return self
                .fail(format!("node {at} was promoted with the data of node {from}, which was left behind"));
        }
        let other_owner = self.history.owner[1 - at];
        self.history.holds[at] = self.history.holds[from];
        if !strict && (other_owner || self.history.stale[from]) {
            self.say(|| format!("node {at} begins a line of history of its own"));
            // Without its peer, which it was to work over, it has nothing but what is on its own disk.
            let from = if own || self.follows(at, from) { from } else { at };
            let content: Vec<Block> = self.nodes[from].disk.visible.clone();
            self.history.fork(at, from, &content);
            return;
        }
        if self.history.stale[from] {
            return self.fail(format!("node {at} was promoted without writes that were answered"));
        }
        let content: Vec<Block> = self.nodes[from].disk.visible.clone();
        let promise = if self.scenario.configs[0].protocol == Protocol::C && !self.history.lossy[from] {
            Promise::Answered
        } else {
            Promise::Flushed
        };
        if let Err(problem) = self.history.take_over(at, &content, promise) {
            return self.fail(problem);
        }
        // What the users see from now on, the other may lack, although it was never answered.
        let other = 1 - from;
        if self.nodes[other].disk.visible != content && !self.follows(at, other) {
            self.history.stale[other] = true;
        }
    }

    /// An event that the books care for.
    pub(crate) fn note_event(&mut self, at: usize, event: &Event) {
        if let Event::VerifyDone(_, differing @ 1..) = event {
            self.fail(format!("verification at node {at} found {differing} blocks that differ"));
        }
        self.ahead += u64::from(matches!(event, Event::Replication(_, ReplicationState::Ahead)));
        if *event == Event::Disk(DiskState::UpToDate)
            && let Some(from) = self.source_of(at)
        {
            self.behind[at] = false;
            self.history.in_sync(at, from, false);
        }
        if *event == Event::Disk(DiskState::Inconsistent) && self.history.discard[at] {
            // The order is carried out from here on, however often it is interrupted.
            self.history.solo[at] = 0;
        }
        let Event::Replication(peer, ReplicationState::SyncTarget) = event else { return };
        let from = usize::from(peer.get());
        let policies = self.scenario.configs[0].after_split_brain;
        let allowed = policies != Policies::default() || self.history.discard[at];
        if self.history.solo[at] > 0 && !allowed {
            let lost = self.history.solo[at];
            self.fail(format!("{lost} answered writes of node {at} are thrown away for node {from}'s data"));
        }
        let users = self.history.owner[at] && self.replica(at).is_some_and(|own| own.role() == Role::Primary);
        if users && self.history.holds[at] != self.history.holds[from] {
            self.fail(format!(
                "node {from}'s line of history replaces the data under the users of node {at}"
            ));
        }
        self.history.lossy[at] = self.history.lossy[from];
        self.history.replaced_by(at, from);
    }

    /// From which node with a disk this one is being synchronised.
    fn source_of(&self, at: usize) -> Option<usize> {
        let replica = self.replica(at)?;
        DISKFUL.into_iter().filter(|peer| *peer != at).find(|peer| {
            replica
                .peer_status(node(*peer))
                .is_some_and(|status| status.replication == ReplicationState::SyncTarget)
        })
    }

    /// Whether the two disks are in sync by their own account: then the books start afresh.
    fn note_in_sync(&mut self) {
        let [a, b] = DISKFUL;
        let established = |at: usize, of: usize| {
            self.replica(at).is_some_and(|replica| {
                replica.disk_state() == DiskState::UpToDate
                    && replica.peer_status(node(of)).is_some_and(|status| {
                        status.replication == ReplicationState::Established
                            && status.disk == DiskState::UpToDate
                    })
            })
        };
        if established(a, b) && established(b, a) && !self.links[0].dead {
            let same = self.nodes[a].disk.visible == self.nodes[b].disk.visible;
            self.history.in_sync(a, b, same);
            if same {
                self.behind = [false; 2];
            }
        }
    }
}
