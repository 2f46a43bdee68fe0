//! The verbs of the control socket, carried out.

use std::time::{SystemTime, UNIX_EPOCH};

use replica::state::{ConnectionState, DiskState, Role};
use replica::{Admin, AdminError, Input, NodeId, RequestId};

use super::orders::{self, Condition, Next, Step};
use super::owner::Volume;
use crate::blockdev::Settled;
use crate::control::{ControlEvent, Outcome, PROTOCOL_VERSION, Reply, Verb};
use crate::disk::{MetadataError, Store, VolumeDisk};

/// Why a disk cannot be attached.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("this node has no disk by intent")]
    Diskless,
    #[error("there is a disk already, or it is still being let go of")]
    Busy,
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("the disk cannot be worked with")]
    Work(#[source] std::io::Error),
}

impl Volume {
    /// Attaches and connects, as at the start of the process. What fails is told in the log.
    pub fn bring_up(&mut self) {
        let steps = self.up();
        self.orders.begin(None, steps, true);
    }

    /// Ends the process in good order, as far as that goes.
    pub(super) fn begin_end(&mut self) {
        let mut steps = self.down();
        steps.push(Step::End);
        self.orders.begin(None, steps, true);
    }

    fn up(&self) -> Vec<Step> {
        let config = self.replica.config();
        let attach = !config.diskless && self.replica.disk_state() == DiskState::Diskless;
        let connect = config
            .peers
            .keys()
            .map(|peer| Step::Core(Admin::Connect { peer: *peer, discard_my_data: false }));
        attach.then_some(Step::Attach).into_iter().chain(connect).collect()
    }

    fn down(&self) -> Vec<Step> {
        let mut steps = self.steps_to_detach();
        let primary = self.replica.role() == Role::Primary;
        let attached = self.replica.disk_state() != DiskState::Diskless;
        steps.extend(orders::down(primary, attached, self.replica.config().peers.keys().copied()));
        steps
    }

    /// Seconds since 1970.
    fn wall_clock() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    pub(super) fn control_event(&mut self, event: ControlEvent) {
        let ControlEvent { caller, verb } = event;
        match self.steps(verb, caller) {
            Ok(Some(steps)) => self.orders.begin(Some(caller), steps, false),
            Ok(None) => {}
            Err(message) => {
                let reply = Reply::new(Outcome::Failed, Some(message));
                self.control.reply(caller, &reply);
            }
        }
    }

    /// The steps of a verb; none: it is answered already.
    fn steps(&mut self, verb: Verb, caller: u64) -> Result<Option<Vec<Step>>, String> {
        let core = |command| Ok(Some(vec![Step::Core(command)]));
        match verb {
            Verb::Status => {
                let status = Some(self.status());
                let reply = Reply { status, ..Reply::new(Outcome::Done, None) };
                self.control.reply(caller, &reply);
                Ok(None)
            }
            Verb::Metrics => {
                let metrics = Some(self.metrics());
                let reply = Reply { metrics, ..Reply::new(Outcome::Done, None) };
                self.control.reply(caller, &reply);
                Ok(None)
            }
            Verb::Events => {
                let exists = serde_json::json!({
                    "version": PROTOCOL_VERSION, "event": "exists", "status": self.status(),
                });
                self.control.listens(caller, &exists);
                Ok(None)
            }
            Verb::Up => Ok(Some(self.up())),
            Verb::Down => Ok(Some(self.down().into_iter().chain([Step::End]).collect())),
            Verb::Primary { force } => {
                let promote = Step::Core(Admin::Promote { force, wall_clock: Self::wall_clock() });
                Ok(Some(std::iter::once(promote).chain(self.steps_to_attach()).collect()))
            }
            Verb::Secondary { force } => {
                let mut steps = self.steps_to_detach();
                steps.push(Step::Core(Admin::Demote { force }));
                Ok(Some(steps))
            }
            Verb::Connect { peer, discard_my_data } => {
                let peers = self.peers_named(peer.as_deref())?;
                let connect = |peer| Step::Core(Admin::Connect { peer, discard_my_data });
                Ok(Some(peers.into_iter().map(connect).collect()))
            }
            Verb::Disconnect { peer } => {
                let peers = self.peers_named(peer.as_deref())?;
                Ok(Some(peers.into_iter().map(|peer| Step::Core(Admin::Disconnect { peer })).collect()))
            }
            Verb::Attach => Ok(Some(vec![Step::Attach])),
            Verb::Detach => {
                let released = Step::Until(Condition::DiskReleased);
                Ok(Some(vec![Step::Core(Admin::Detach), released]))
            }
            Verb::Verify { peer } => core(Admin::Verify { peer: self.one_peer(peer.as_deref())? }),
            Verb::Invalidate { peer } => core(Admin::Invalidate { peer: self.one_peer(peer.as_deref())? }),
            Verb::InvalidateRemote { peer } => {
                core(Admin::InvalidateRemote { peer: self.one_peer(peer.as_deref())? })
            }
            Verb::Resize { size, assume_clean } => core(Admin::Resize { size, assume_clean }),
            Verb::Outdate => core(Admin::Outdate),
            Verb::SuspendIo => core(Admin::SuspendIo),
            Verb::ResumeIo => core(Admin::ResumeIo),
            Verb::NewCurrentUuid { clear_bitmap: true } => core(Admin::SkipInitialSync),
            Verb::NewCurrentUuid { clear_bitmap: false } => {
                Err("so far a new generation can only be ordered with clear-bitmap, between two blank disks"
                    .into())
            }
        }
    }

    /// The peer of this name, or the only one with a disk.
    fn one_peer(&self, name: Option<&str>) -> Result<NodeId, String> {
        let peer = match name {
            Some(_) => self.peers_named(name)?.first().copied(),
            None => self.replica.config().diskful_peers().next(),
        };
        peer.ok_or_else(|| "there is no peer with a disk".to_owned())
    }

    /// The peer of this name, or all.
    fn peers_named(&self, name: Option<&str>) -> Result<Vec<NodeId>, String> {
        match name {
            None => Ok(self.replica.config().peers.keys().copied().collect()),
            Some(name) => match self.settings.peer_id(name) {
                Some(peer) => Ok(vec![peer]),
                None => Err(format!("{name} is no peer of this volume")),
            },
        }
    }

    /// Goes on with the orders. Whether anything was done.
    pub(super) fn continue_orders(&mut self) -> bool {
        let mut busy = false;
        loop {
            let (disconnected, released) = (self.is_disconnected(), self.disk.is_none());
            let said = self.peers.is_quiet();
            let (settled, free) = (self.device.state != Settled::Busy, self.device_is_released());
            let next = self.orders.next(|condition| match condition {
                Condition::Disconnected => disconnected,
                Condition::DiskReleased => released,
                Condition::Said => said,
                Condition::DeviceSettled => settled,
                Condition::DeviceReleased => free,
            });
            match next {
                None => return busy,
                Some(Next::Through(caller)) => {
                    if let Some(caller) = caller {
                        let remark = self.waits_for().or_else(|| self.smaller_device());
                        self.control.reply(caller, &Reply::new(Outcome::Done, remark));
                    }
                }
                Some(Next::Step(number, step)) => self.step(number, step),
            }
            busy = true;
        }
    }

    fn is_disconnected(&self) -> bool {
        let peers = self.replica.config().peers.keys();
        peers.filter_map(|peer| self.replica.peer_status(*peer)).all(|status| {
            !matches!(status.connection, ConnectionState::Connected | ConnectionState::Disconnecting)
        })
    }

    fn step(&mut self, number: u64, step: Step) {
        match step {
            Step::Core(command) => {
                let id = self.requests.number();
                self.orders.wait(number, id);
                self.input(Input::Admin { id, command });
            }
            Step::Attach => match self.read_metadata() {
                Ok(command) => self.step(number, Step::Core(command)),
                Err(error) => self.step_failed(number, &Reply::new(Outcome::Failed, Some(chain(&error)))),
            },
            Step::OpenDevice => {
                if let Err(why) = self.open_device() {
                    self.step_failed(number, &Reply::new(Outcome::Failed, Some(why)));
                }
            }
            Step::CloseDevice => self.close_device(),
            Step::DeviceIsThere | Step::DeviceIsGone => {
                if let Err(reply) = self.device_result() {
                    self.step_failed(number, &reply);
                }
            }
            Step::Until(_) => {}
            Step::End => self.orders.end(),
        }
    }

    fn read_metadata(&mut self) -> Result<Admin, AttachError> {
        let Some(path) = self.settings.own().disk.clone() else { return Err(AttachError::Diskless) };
        if self.disk.is_some() {
            return Err(AttachError::Busy);
        }
        let store = Store::open(&path).map_err(MetadataError::from)?;
        let known = self.paths.last_known();
        let (image, attached) = known.open(&store, self.replica.config())?;
        let disk = VolumeDisk::new(store, image, self.settings.backend).map_err(AttachError::Work)?;
        let disk = disk.on_record(known);
        self.use_disk(disk).map_err(AttachError::Work)?;
        Ok(Admin::Attach(Box::new(attached)))
    }

    /// The core has answered.
    pub(super) fn step_done(&mut self, id: RequestId, result: Result<(), AdminError>) {
        let Some(number) = self.orders.waiting_for(id) else { return };
        if let Err(error) = result {
            self.step_failed(number, &orders::refusal(&error, |node| self.node_name(node)));
            if self.replica.role() == Role::Primary && !self.has_device() {
                // It stays what it was: its block device comes back.
                let steps = self.steps_to_attach();
                self.orders.begin(None, steps, true);
            }
        }
    }

    fn step_failed(&mut self, number: u64, reply: &Reply) {
        self.say(reply.message.as_deref().unwrap_or("an order was refused"));
        if let Some(caller) = self.orders.failed(number) {
            self.control.reply(caller, reply);
        }
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
