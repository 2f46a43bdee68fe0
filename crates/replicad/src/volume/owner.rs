//! The owner of a volume: one thread, one loop, no locks.
//!
//! It waits until something is ready, hands what happened to the core, and carries out what the core wants. All that a
//! round brings is sent at its end, in as few system calls as possible.

use std::collections::VecDeque;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use replica::state::{DiskState, Role};
use replica::{Input, Replica, Time};
use rustix::mm::MlockAllFlags;
use sd_notify::NotifyState;

use super::orders::Orders;
use super::start::{self, Paths, StartError};
use crate::blockdev::{self, Device, FuseFile, Ublk};
use crate::control::ControlServer;
use crate::disk::VolumeDisk;
use crate::export::Server;
use crate::handlers::Handlers;
use crate::net::Peers;
use crate::poll::{Interest, Poller, Ready};
use crate::requests::Requests;
use crate::settings::{Attach, Settings};

/// Tokens of what is there once.
const DISK: u64 = 0;
const SIGNAL: u64 = 1;
const HANDLERS: u64 = 2;
pub(super) const FUSE: u64 = 3;
const DEVICE: u64 = 4;
pub(super) const UBLK: u64 = 5;
/// Tokens of what there is many of: from here on, each kind has so many.
const KINDS: u64 = 1 << 32;
const PEERS: u64 = KINDS;
const CLIENTS: u64 = 2 * KINDS;
const CALLERS: u64 = 3 * KINDS;
/// Data of requests under way, and data that waits to be sent to a peer, at which clients are not read from any more.
const MAX_BYTES_UNDER_WAY: u64 = 32 << 20;
/// Requests under way at which clients are not read from any more.
const MAX_REQUESTS: usize = 1024;
/// Requests and messages that are passed on together at most. All at once would take fewer system calls, and the processes
/// would work one after the other instead of at the same time.
pub(super) const TOGETHER: usize = 8;
/// Signals that end the process in good order.
const SIGNALS: [i32; 2] = [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT];

/// A running volume.
pub struct Volume {
    pub(super) settings: Settings,
    pub(super) replica: Replica,
    pub(super) started: Instant,
    pub(super) poller: Poller,
    pub(super) disk: Option<VolumeDisk>,
    pub(super) peers: Peers,
    pub(super) clients: Server,
    pub(super) control: ControlServer,
    pub(super) handlers: Handlers,
    pub(super) requests: Requests,
    pub(super) orders: Orders,
    pub(super) inputs: VecDeque<Input>,
    pub(super) paths: Paths,
    pub(super) fuse: Option<FuseFile>,
    /// How often the file is open.
    pub(super) fuse_opened: usize,
    pub(super) ublk: Option<Ublk>,
    pub(super) device: Device,
    pub(super) device_trouble: Option<String>,
    /// Bytes that users see: what is on stable storage.
    pub(super) size: u64,
    signals: UnixStream,
    /// The size with which it is exported.
    exported: Option<u64>,
}

impl Volume {
    /// Reads the volume's file and metadata, and makes its sockets. Nothing is attached or connected yet.
    ///
    /// # Errors
    /// When any of that is not possible.
    pub fn new(settings: Settings, paths: &Paths) -> Result<Self, StartError> {
        let mut settings = settings;
        settings.attach = super::device::settled(settings.attach);
        let failed = |what: &'static str| move |source| StartError::System { what, source };
        // The sockets are for root alone.
        std::fs::create_dir_all(&paths.run)
            .and_then(|()| std::fs::set_permissions(&paths.run, Permissions::from_mode(0o700)))
            .map_err(|source| StartError::Folder { path: paths.run.clone(), source })?;
        let mut poller = Poller::new().map_err(failed("wait for input"))?;
        // First of all: another process that serves the volume has it, and nothing else was touched.
        let control = ControlServer::new(&paths.control(), (&mut poller, CALLERS))?;
        for trouble in blockdev::clear(&paths.fuse(), &settings.name) {
            eprintln!("{}: {}", settings.name, StartError::Leftover(trouble));
        }
        let replica = start::core(&settings, paths)?;
        let endpoint = start::endpoint(&settings, replica.config())?;
        let peers = Peers::new(
            endpoint,
            settings.own().address,
            start::addresses(&settings, replica.config()),
            settings.connect_int,
            (&mut poller, PEERS),
        )?;
        let clients = Server::new(&paths.nbd(), (&mut poller, CLIENTS))?;
        let handlers = Handlers::new(settings.handlers.clone()).map_err(failed("run handlers"))?;
        poller.watch(handlers.wake(), HANDLERS, Interest::READ).map_err(failed("wait for handlers"))?;
        let device = Device::new(&settings.name, settings.own().loop_device.clone())
            .map_err(failed("make a block device"))?;
        poller.watch(device.wake(), DEVICE, Interest::READ).map_err(failed("make a block device"))?;
        let (signals, writer) = UnixStream::pair().map_err(failed("wait for signals"))?;
        signals.set_nonblocking(true).map_err(failed("wait for signals"))?;
        for signal in SIGNALS {
            let writer = writer.try_clone().map_err(failed("wait for signals"))?;
            signal_hook::low_level::pipe::register(signal, writer).map_err(failed("wait for signals"))?;
        }
        poller.watch(&signals, SIGNAL, Interest::READ).map_err(failed("wait for signals"))?;
        Ok(Self {
            settings,
            size: replica.config().size,
            replica,
            started: Instant::now(),
            poller,
            disk: None,
            peers,
            clients,
            control,
            handlers,
            requests: Requests::default(),
            orders: Orders::default(),
            inputs: VecDeque::new(),
            paths: paths.clone(),
            fuse: None,
            fuse_opened: 0,
            ublk: None,
            device,
            device_trouble: None,
            signals,
            exported: None,
        })
    }

    /// Works until it is told to end.
    ///
    /// # Errors
    /// When waiting for input is not possible.
    pub fn run(mut self) -> Result<(), StartError> {
        self.stay_in_memory();
        // The socket for orders is there: whoever waits for the unit may give some, and need not take it for one that does not run.
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            self.say(&format!("the service manager is not told that the process is ready: {error}"));
        }
        let mut ready = Vec::new();
        loop {
            self.settle();
            if self.orders.is_over() {
                return Ok(());
            }
            let wait = self.timeout();
            self.poller
                .wait(wait, &mut ready)
                .map_err(|source| StartError::System { what: "wait for input", source })?;
            for ready in &ready {
                self.dispatch(*ready);
            }
            self.peers.tick(Instant::now(), &mut self.poller);
            if self.replica.poll_timeout().is_some_and(|deadline| deadline <= self.now()) {
                self.input(Input::Timeout);
            }
        }
    }

    /// Who serves a block device must not wait for memory that only writing to that device would free.
    fn stay_in_memory(&self) {
        if self.settings.attach == Attach::None {
            return;
        }
        if let Err(error) = rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
            self.say(&format!("the process may be swapped out: {error}"));
        }
        if let Err(error) = rustix::process::configure_io_flusher_behavior(true) {
            self.say(&format!("the kernel is not told that this process serves a block device: {error}"));
        }
    }

    /// The present, in the core's words.
    pub(super) fn now(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    fn timeout(&self) -> Option<Duration> {
        let disk_waits = self.disk.as_ref().is_some_and(VolumeDisk::wants_kick);
        if disk_waits || self.ublk.as_ref().is_some_and(Ublk::is_behind) {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let core = self.replica.poll_timeout().map(|deadline| deadline.since(self.now()));
        let others = [self.peers.deadline(), self.orders.deadline()];
        let others = others.into_iter().flatten().map(|deadline| deadline.saturating_duration_since(now));
        others.chain(core).min()
    }

    fn dispatch(&mut self, ready: Ready) {
        match ready.token {
            DISK => {
                if let Some(disk) = &self.disk {
                    disk.rest();
                }
            }
            SIGNAL => {
                // How many came does not matter.
                let _ = self.signals.read(&mut [0; 64]);
                self.begin_end();
            }
            HANDLERS => {
                for (handler, exit_code) in self.handlers.ended() {
                    self.handler_ended(handler, exit_code);
                }
            }
            FUSE => self.fuse_ready(),
            UBLK => self.ublk_ready(),
            DEVICE => self.device_settled(),
            PEERS..CLIENTS => self.peers.ready(ready, &mut self.poller),
            CLIENTS..CALLERS => self.clients.ready(ready, &mut self.poller),
            _ => self.control.ready(ready, &mut self.poller),
        }
    }

    /// Goes on until nothing more comes of what has happened, and sends everything.
    fn settle(&mut self) {
        loop {
            let mut busy = self.take_disk();
            busy |= self.take_fuse();
            busy |= self.take_ublk();
            let mut taken = 0;
            while let Some(event) = self.peers.events.pop_front() {
                busy = true;
                self.peer_event(event);
                taken += 1;
                if taken % TOGETHER == 0 {
                    self.send();
                }
            }
            while let Some(event) = self.clients.events.pop_front() {
                busy = true;
                self.client_event(event);
                taken += 1;
                if taken % TOGETHER == 0 {
                    self.send();
                }
            }
            while let Some(event) = self.control.events.pop_front() {
                busy = true;
                self.control_event(event);
            }
            busy |= self.continue_orders();
            self.keep_export();
            self.send();
            self.drop_lost_disk();
            self.control.flush(&mut self.poller);
            // Sending may show that somebody is gone.
            if !busy && self.peers.events.is_empty() && self.clients.events.is_empty() {
                break;
            }
        }
        self.clients.pause(self.is_full(), &mut self.poller);
    }

    /// Whether so much is under way that nothing more is taken in. Something that is under way then ends that.
    pub(super) fn is_full(&self) -> bool {
        self.requests.bytes() >= MAX_BYTES_UNDER_WAY
            || self.requests.len() >= MAX_REQUESTS
            || self.peers.backlog() as u64 >= MAX_BYTES_UNDER_WAY
    }

    /// Passes on what was taken in so far: the peers, the disk and the clients work on it while the rest is taken in.
    pub(super) fn send(&mut self) {
        // The peer's disk is further away than the own one: it begins first.
        self.peers.flush(&mut self.poller);
        if let Some(disk) = &mut self.disk {
            disk.kick();
        }
        self.clients.flush(&mut self.poller);
        self.flush_ublk();
    }

    fn take_disk(&mut self) -> bool {
        let Some(disk) = &mut self.disk else { return false };
        let finished = disk.finished();
        if let Some(error) = disk.take_error() {
            self.say(&format!("the disk reports: {error}"));
        }
        let busy = !finished.is_empty();
        for (op, result) in finished {
            self.input(Input::DiskDone { op, result });
        }
        busy
    }

    /// Begins to work on a disk.
    pub(super) fn use_disk(&mut self, disk: VolumeDisk) -> std::io::Result<()> {
        self.poller.watch(disk.wake(), DISK, Interest::READ)?;
        self.disk = Some(disk);
        Ok(())
    }

    /// A disk that the core has given up is let go of once nothing is under way on it.
    fn drop_lost_disk(&mut self) {
        let lost = self.replica.disk_state() == DiskState::Diskless && self.inputs.is_empty();
        if let Some(disk) = self.disk.take_if(|disk| lost && disk.is_idle()) {
            self.poller.forget(disk.wake());
        }
    }

    /// What requests have to be multiples of, in bytes.
    pub(super) fn minimum_block(&self) -> u32 {
        let minimum = self.disk.as_ref().map_or(512, |disk| disk.store().logical_block());
        u32::try_from(minimum).unwrap_or(4096)
    }

    /// Only a Primary can be opened. Who has it open when it grows keeps the size of then: NBD cannot say more.
    fn keep_export(&mut self) {
        let wanted = (self.replica.role() == Role::Primary).then_some(self.size);
        if wanted == self.exported {
            return;
        }
        self.exported = wanted;
        let Some(size) = wanted else { return self.clients.withdraw() };
        let name = self.settings.name.clone();
        if let Err(error) = self.clients.set_export(&name, size, self.minimum_block()) {
            self.say(&format!("the volume is not exported: {error}"));
        }
    }

    /// Tells the log.
    pub(super) fn say(&self, what: &str) {
        eprintln!("{}: {what}", self.settings.name);
    }
}
