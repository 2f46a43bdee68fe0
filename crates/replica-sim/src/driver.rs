//! Who makes things happen: the clients, the admin, the handlers, and the faults.

use std::time::Duration;

use bytes::Bytes;
use replica::ids::{BLOCK_BYTES, SECTOR_BYTES};
use replica::io::ClientRequest;
use replica::state::{ConnectionState, DiskState, ReplicationState, Role};
use replica::wire::WriteBody;
use replica::{Admin, Handler, Replica};

use crate::check::DISKFUL;
use crate::disk::Fault;
use crate::scenario::{Kind, MAX_GROWTH_BYTES, VOLUME_BYTES, node};
use crate::world::{Next, World};

/// Requests of a client that wait at a time.
const QUEUE_DEPTH: usize = 8;
/// Blocks that two Primaries like best.
const MEETING_PLACES: usize = 4;

impl World {
    /// Begins: every node starts, and everybody gets to work.
    pub(crate) fn begin(&mut self) {
        for at in 0..self.nodes.len() {
            let wait = self.rng.micros(0, 5_000);
            self.after(wait, Next::Restart { at });
        }
        self.after(Duration::from_millis(40), Next::AdminTick);
        self.after(Duration::from_millis(60), Next::ClientTick);
        let wait = self.scenario.fault_every;
        self.after(wait, Next::FaultTick);
    }

    pub(crate) fn role(&self, at: usize) -> Option<Role> {
        self.nodes[at].replica.as_ref().map(Replica::role)
    }

    fn disk_state(&self, at: usize) -> Option<DiskState> {
        self.nodes[at].replica.as_ref().map(Replica::disk_state)
    }

    pub(crate) fn client_tick(&mut self) {
        for at in DISKFUL {
            let works = self.history.owner[at] && self.role(at) == Some(Role::Primary);
            if works && self.history.waiting(at) < QUEUE_DEPTH {
                let request = self.request(at);
                self.client(at, request);
            }
        }
        let wait = if self.calm { self.rng.micros(5_000, 20_000) } else { self.rng.micros(100, 4_000) };
        self.after(wait, Next::ClientTick);
    }

    fn request(&mut self, at: usize) -> ClientRequest {
        let size = self.nodes[at].replica.as_ref().map_or(VOLUME_BYTES, |replica| replica.config().size);
        let hot: Vec<u64> =
            self.scenario.hot.iter().copied().filter(|block| (block + 1) * BLOCK_BYTES <= size).collect();
        let mut block = hot[self.rng.index(hot.len())];
        if self.scenario.two_primaries && self.rng.chance(60) {
            // Where the other writes too.
            block = hot[self.rng.index(MEETING_PLACES.min(hot.len()))];
        }
        let (mut offset, mut len) = (block * BLOCK_BYTES, BLOCK_BYTES);
        match self.rng.below(10) {
            0 => {
                offset += self.rng.below(8) * SECTOR_BYTES;
                len = SECTOR_BYTES;
            }
            1 => len = (1 + self.rng.below(4)) * BLOCK_BYTES,
            _ => {}
        }
        len = len.min(size - offset);
        match self.rng.below(100) {
            0..55 => {
                let value = self.history.fresh_value();
                let mut data = vec![0u8; len as usize];
                for sector in data.chunks_mut(SECTOR_BYTES as usize) {
                    sector[..8].copy_from_slice(&value.to_le_bytes());
                }
                let fua = self.rng.chance(15);
                ClientRequest::Write { offset, body: WriteBody::Data(Bytes::from(data)), fua }
            }
            55..60 => {
                let body = WriteBody::Zeroes { len, may_trim: self.rng.chance(50) };
                ClientRequest::Write { offset, body, fua: false }
            }
            60..85 => ClientRequest::Read { offset, len },
            _ => ClientRequest::Flush,
        }
    }

    pub(crate) fn admin_tick(&mut self) {
        self.reconnect_stand_alone();
        if self.calm {
            // A disk that was refused before may be taken now.
            DISKFUL.into_iter().for_each(|at| self.reattach(at));
        }
        let primaries: Vec<usize> =
            DISKFUL.into_iter().filter(|at| self.role(*at) == Some(Role::Primary)).collect();
        let at = DISKFUL[self.rng.index(2)];
        if self.scenario.grows && !self.calm && self.rng.chance(40) {
            self.grow(primaries.first().copied().unwrap_or(at));
        }
        match primaries[..] {
            [] => self.promote(at),
            [primary] if self.is_to_be_joined() => self.promote(1 - primary),
            [_, _] if self.scenario.two_primaries && self.are_in_sync() => {
                if !self.calm && self.rng.chance(15) {
                    self.demote(at);
                }
            }
            [primary] if self.calm => {
                let apart = self.nodes[primary].replica.as_ref().is_some_and(|replica| {
                    let peer = replica.peer_status(node(1 - primary));
                    !replica.has_quorum()
                        || peer.is_some_and(|peer| peer.replication == ReplicationState::Off)
                });
                if apart && self.rng.chance(25) {
                    self.demote(primary);
                }
            }
            [primary] => match self.rng.below(10) {
                0 | 1 => self.demote(primary),
                2 | 3 if self.scenario.kind != Kind::Fencing => self.promote(1 - primary),
                4 if self.rng.chance(20) => {
                    let peer = node(1 - primary);
                    self.admin(primary, Admin::Verify { peer });
                }
                6 if self.rng.chance(10) => {
                    // Refused unless the Primary has good data, or is not connected; then it would cost the only copy.
                    let connected = self.nodes[primary].replica.as_ref().is_some_and(|replica| {
                        replica.peer_status(node(1 - primary)).is_some_and(|peer| {
                            peer.replication == ReplicationState::Established
                                && replica.disk_state() == DiskState::UpToDate
                        })
                    });
                    if connected {
                        self.admin(1 - primary, Admin::Invalidate { peer: node(primary) });
                    }
                }
                5 if self.rng.chance(30) => {
                    self.admin(1 - primary, Admin::Disconnect { peer: node(primary) });
                }
                _ => {}
            },
            _ => {
                // Two: in a partition with quorum one of them waits and has to give up.
                let waits = |at: &usize| {
                    let replica = self.nodes[*at].replica.as_ref();
                    replica.is_some_and(|replica| replica.io_is_suspended() || !replica.has_quorum())
                };
                let loser = primaries.iter().copied().find(waits).unwrap_or(at);
                self.demote(loser);
            }
        }
        let wait =
            if self.calm { self.rng.micros(50_000, 150_000) } else { self.rng.micros(20_000, 250_000) };
        self.after(wait, Next::AdminTick);
    }

    /// Whether a second Primary is to join the one that there is.
    fn is_to_be_joined(&mut self) -> bool {
        let possible = self.scenario.two_primaries && self.are_in_sync();
        possible && (self.calm || self.rng.chance(60))
    }

    /// The devices grow, not always both, and the volume is to follow.
    fn grow(&mut self, at: usize) {
        for disk in DISKFUL {
            if self.rng.chance(75) {
                let device = self.nodes[disk].disk.device + (1 + self.rng.below(1024)) * BLOCK_BYTES;
                self.nodes[disk].disk.device = device.min(VOLUME_BYTES + MAX_GROWTH_BYTES);
            }
        }
        let assume_clean = self.rng.chance(30);
        self.admin(at, Admin::Resize { size: None, assume_clean });
    }

    fn promote(&mut self, at: usize) {
        let kept_back = self.history.constrained[at];
        if self.nodes[at].replica.is_none() || self.nodes[at].promoting.is_some() || kept_back {
            return;
        }
        // Blank disks count for nothing until the admin says so; the same goes for a last resort when all is calm.
        let blank = self.scenario.blank
            && self.nodes.iter().take(2).all(|sim| sim.disk.superblock.generations.current.is_just_created());
        let force = blank && at == 0;
        if blank && at != 0 {
            return;
        }
        self.next_request += 1;
        let id = replica::RequestId(self.next_request);
        self.nodes[at].promoting = Some(id);
        let command = Admin::Promote { force, wall_clock: self.now.0 };
        self.input(at, replica::Input::Admin { id, command });
    }

    pub(crate) fn demote(&mut self, at: usize) {
        if self.nodes[at].replica.is_none() || self.nodes[at].demoting.is_some() {
            return;
        }
        self.next_request += 1;
        let id = replica::RequestId(self.next_request);
        self.nodes[at].demoting = Some(id);
        self.input(at, replica::Input::Admin { id, command: Admin::Demote { force: true } });
    }

    /// The admin looks after connections that were given up. After a split brain without a policy, one side's data is
    /// ordered to go.
    fn reconnect_stand_alone(&mut self) {
        for link in 0..self.links.len() {
            let [a, b] = Self::ends(link);
            for (at, peer) in [(a, b), (b, a)] {
                let status =
                    self.nodes[at].replica.as_ref().and_then(|replica| replica.peer_status(node(peer)));
                let alone = status.is_some_and(|status| status.connection == ConnectionState::StandAlone);
                if !alone || !(self.calm || self.rng.chance(60)) {
                    continue;
                }
                let secondary = self.role(at) == Some(Role::Secondary);
                let both_alone = !self.nodes[peer].wants.contains(&at);
                let split = self.scenario.kind == Kind::Reckless && both_alone && at != 2 && peer != 2;
                let other_discards = self.history.discard[peer];
                let ordered = self.history.discard[at] && secondary;
                let discard = ordered || (split && secondary && !other_discards && self.rng.chance(50));
                self.history.discard[at] = discard;
                self.admin(at, Admin::Connect { peer: node(peer), discard_my_data: discard });
            }
        }
    }

    pub(crate) fn run_handler(&mut self, at: usize, handler: Handler) {
        self.say(|| format!("node {at} runs {handler:?}"));
        let life = self.nodes[at].life;
        let exit_code = match handler {
            Handler::FencePeer(peer) => self.fence(at, usize::from(peer.get())),
            Handler::UnfencePeer(peer) => {
                self.history.constrained[usize::from(peer.get())] = false;
                0
            }
            Handler::PriLostAfterSb(_) => {
                self.demote(at);
                0
            }
            _ => 0,
        };
        let wait = self.rng.micros(500, 30_000);
        self.after(wait, Next::HandlerDone { at, life, handler, exit_code });
    }

    /// The fence device cuts the peer's power, and a constraint keeps the peer from being promoted until it is in sync
    /// again; now and then the device does not answer. A constraint against the node itself is not its own to replace.
    fn fence(&mut self, at: usize, victim: usize) -> i32 {
        if self.history.constrained[at] {
            return 1;
        }
        if !self.calm && self.rng.chance(10) {
            return 1;
        }
        // The peer is known to be down already.
        if self.nodes[victim].replica.is_none() && self.rng.chance(50) {
            self.history.constrained[victim] = true;
            return 5;
        }
        // A handler that only sets a constraint: enough for a peer that is no Primary.
        if self.rng.chance(30) {
            if self.role(victim) == Some(Role::Primary) {
                return 6;
            }
            self.history.constrained[victim] = true;
            return 4;
        }
        self.crash(victim);
        self.history.constrained[victim] = true;
        let wait = self.rng.micros(50_000, 400_000);
        self.after(wait, Next::Restart { at: victim });
        7
    }

    pub(crate) fn fault_tick(&mut self) {
        if self.calm {
            return;
        }
        match self.rng.below(100) {
            0..25 => {
                let at = self.rng.index(self.nodes.len());
                self.crash(at);
                let wait = self.rng.micros(1_000, 500_000);
                self.after(wait, Next::Restart { at });
            }
            25..50 => {
                let link = self.rng.index(self.links.len());
                self.cut(link);
            }
            50..75 => {
                let link = self.rng.index(self.links.len());
                self.links[link].partitioned = true;
                self.cut(link);
                let wait = self.rng.micros(1_000, 500_000);
                self.after(wait, Next::Heal { link });
            }
            75..85 => {
                let at = self.rng.index(2);
                self.nodes[at].slow_until = self.now.after(Duration::from_millis(200));
            }
            85..92 if self.scenario.disk_errors => {
                let at = self.rng.index(2);
                self.break_disk(at);
            }
            92..98 => {
                // Now and then the tiebreaker stays up.
                let all = if self.rng.chance(30) { 2 } else { self.nodes.len() };
                for at in 0..all {
                    self.crash(at);
                    let wait = self.rng.micros(1_000, 300_000);
                    self.after(wait, Next::Restart { at });
                }
            }
            _ => {}
        }
        let wait = self.scenario.fault_every.mul_f64(0.2 + self.rng.below(160) as f64 / 100.0);
        self.after(wait, Next::FaultTick);
    }

    fn break_disk(&mut self, at: usize) {
        if self.nodes[at].replica.is_none() {
            return;
        }
        self.say(|| format!("the disk of node {at} fails"));
        self.nodes[at].disk.fault = if self.rng.chance(50) { Fault::Data } else { Fault::All };
        let wait = self.rng.micros(20_000, 400_000);
        self.after(wait, Next::Reattach { at });
    }

    /// Faults end: everything is mended, and the cluster has to come to rest.
    pub(crate) fn calm_down(&mut self) {
        self.say(|| "calm".to_owned());
        self.calm = true;
        for link in 0..self.links.len() {
            self.links[link].partitioned = false;
            self.try_connect(link);
        }
        for at in 0..self.nodes.len() {
            self.nodes[at].slow_until = self.now;
            self.after(Duration::from_millis(1), Next::Restart { at });
            if at != 2 {
                self.after(Duration::from_millis(2), Next::Reattach { at });
            }
        }
    }

    /// Whether all is well: connected, in sync, somebody Primary, nothing marked, and writes are answered.
    pub(crate) fn is_well(&self) -> bool {
        let healthy = DISKFUL.into_iter().all(|at| {
            let status =
                self.nodes[at].replica.as_ref().and_then(|replica| replica.peer_status(node(1 - at)));
            self.disk_state(at) == Some(DiskState::UpToDate)
                && status.is_some_and(|status| {
                    status.replication == ReplicationState::Established && status.disk == DiskState::UpToDate
                })
        });
        let primary = |at: usize| self.role(at) == Some(Role::Primary) && self.history.owner[at];
        let both = !self.scenario.two_primaries || DISKFUL.into_iter().all(primary);
        healthy && both && DISKFUL.into_iter().any(primary)
    }
}
