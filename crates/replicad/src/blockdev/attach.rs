//! The volume's block device, and its name: a ublk device, an NBD device, or a loop device on the volume's file. What waits
//! for the kernel, and through it for the owner, is done by threads beside it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::EventfdFlags;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::guard::Guard;
use super::holders::{mounted_at, writer};
use super::kernel_nbd::{self, Plan};
use super::ublk;

/// Where the volumes' block devices are found.
const BY_NAME: &str = "/dev/hactl/by-res";
/// How often another free loop device is tried when somebody else was faster.
const FREE_ATTEMPTS: u32 = 8;
/// Major device number of loop devices (Documentation/admin-guide/devices.txt).
const LOOP_MAJOR: u32 = 7;
/// Who may use their nodes.
const NODE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP);

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A ublk device, which does not begin before it is served.
    Made(ublk::Made),
    /// This is the device.
    Attached(PathBuf),
    /// It is gone.
    Detached,
    /// It is in use, or could not be made.
    Refused(String),
}

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// There is none.
    Absent,
    /// Something is being done.
    Busy,
    /// It is there.
    Present(PathBuf),
}

/// The block device of a volume.
#[derive(Debug)]
pub(crate) struct Device {
    name: String,
    wanted: Option<PathBuf>,
    pub(crate) state: Settled,
    /// How it was before what is being done.
    before: Settled,
    /// Who ends the NBD device when this process cannot any more.
    guard: Arc<Mutex<Option<Guard>>>,
    sender: Sender<Outcome>,
    ended: Receiver<Outcome>,
    wake: OwnedFd,
}

impl Device {
    pub(crate) fn new(name: &str, wanted: Option<PathBuf>) -> std::io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let (sender, ended) = channel();
        Ok(Self {
            name: name.to_owned(),
            wanted,
            state: Settled::Absent,
            before: Settled::Absent,
            guard: Arc::default(),
            sender,
            ended,
            wake,
        })
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn beside(&mut self, work: impl FnOnce() -> Outcome + Send + 'static) {
        let sender = self.sender.clone();
        let wake = self.wake.try_clone();
        self.before = std::mem::replace(&mut self.state, Settled::Busy);
        let started = std::thread::Builder::new().name("block device".to_owned()).spawn(move || {
            // Without the owner nobody wants to know.
            let _ = sender.send(work());
            if let Ok(wake) = wake {
                let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
            }
        });
        if let Err(error) = started {
            // The receiving end is in the same struct; and a full counter is readable too.
            let _ = self.sender.send(Outcome::Refused(format!("no thread can be started: {error}")));
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Makes the loop device on a file that the owner serves.
    pub(crate) fn attach(&mut self, file: &Path) {
        let (file, wanted, name) = (file.to_owned(), self.wanted.clone(), self.name.clone());
        self.beside(move || attach(&file, wanted.as_deref(), &name).unwrap_or_else(Outcome::Refused));
    }

    /// Makes an NBD device of the export that the owner serves.
    pub(crate) fn connect(&mut self, plan: Plan) {
        let (name, guard) = (self.name.clone(), Arc::clone(&self.guard));
        self.beside(move || connect(&plan, &name, &guard).unwrap_or_else(Outcome::Refused));
    }

    /// Makes a ublk device, for the owner to serve.
    pub(crate) fn make(&mut self, plan: ublk::Plan) {
        self.beside(move || ublk::make(&plan).map_or_else(Outcome::Refused, Outcome::Made));
    }

    /// Begins with the ublk device of this number: the owner serves it.
    pub(crate) fn begin(&mut self, id: u32) {
        let name = self.name.clone();
        self.beside(move || {
            let begun = ublk::begin(id).and_then(|device| link(&device, &name).map(|()| device));
            begun.map_or_else(|why| give_up(id, why), Outcome::Attached)
        });
    }

    /// The owner cannot serve the ublk device of this number.
    pub(crate) fn abandon(&mut self, id: u32, why: String) {
        self.beside(move || give_up(id, why));
    }

    /// The volume has grown: the ublk device takes note of it.
    pub(crate) fn enlarge(&mut self, size: u64) {
        let Settled::Present(device) = self.state.clone() else { return };
        self.beside(move || match ublk::enlarge(&device, size) {
            Ok(()) => Outcome::Attached(device),
            Err(why) => Outcome::Refused(format!("{} does not take the new size: {why}", device.display())),
        });
    }

    /// Takes the ublk device away, unless it is in use.
    pub(crate) fn end(&mut self) {
        let Settled::Present(device) = self.state.clone() else { return };
        let name = self.name.clone();
        self.beside(move || end(&device, &name).unwrap_or_else(Outcome::Refused));
    }

    /// The ublk device has ended. When nobody here has ended it, somebody else did.
    pub(crate) fn lost(&mut self) -> bool {
        let present = matches!(self.state, Settled::Present(_));
        if present {
            self.state = Settled::Absent;
            // It is only a name.
            let _ = std::fs::remove_file(name_of(&self.name));
        }
        present
    }

    /// The volume has grown: the NBD device takes note of it.
    pub(crate) fn resize(&mut self, size: u64) {
        let Settled::Present(device) = self.state.clone() else { return };
        let guard = Arc::clone(&self.guard);
        self.beside(move || match kernel_nbd::resize(&backend(&guard), size) {
            Ok(()) => Outcome::Attached(device),
            Err(why) => Outcome::Refused(format!("{} does not take the new size: {why}", device.display())),
        });
    }

    /// Takes the NBD device away, unless it is in use.
    pub(crate) fn disconnect(&mut self) {
        let Settled::Present(device) = self.state.clone() else { return };
        let (name, guard) = (self.name.clone(), Arc::clone(&self.guard));
        self.beside(move || disconnect(&device, &name, &guard).unwrap_or_else(Outcome::Refused));
    }

    /// The file has grown: the loop device takes note of it.
    pub(crate) fn grow(&mut self, file: &Path) {
        let Settled::Present(device) = self.state.clone() else { return };
        let file = file.to_owned();
        self.beside(move || {
            // The kernel looks at the file's size only when somebody asks for it.
            let asked = std::fs::metadata(&file).map_err(|error| error.to_string());
            let path = device.to_string_lossy().into_owned();
            let grown = asked.and_then(|_| losetup(&["--set-capacity", &path]));
            match grown {
                Ok(_) => Outcome::Attached(device),
                Err(why) => Outcome::Refused(format!("{path} does not take the new size: {why}")),
            }
        });
    }

    /// Takes it away, unless it is in use.
    pub(crate) fn detach(&mut self) {
        let Settled::Present(device) = self.state.clone() else { return };
        let name = self.name.clone();
        self.beside(move || detach(&device, &name).unwrap_or_else(Outcome::Refused));
    }

    /// What has come of it since the last time.
    pub(crate) fn ended(&mut self) -> Option<Outcome> {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        let outcome = self.ended.try_iter().last()?;
        self.state = match &outcome {
            Outcome::Attached(device) => Settled::Present(device.clone()),
            Outcome::Detached => Settled::Absent,
            Outcome::Made(_) | Outcome::Refused(_) => self.before.clone(),
        };
        Some(outcome)
    }
}

/// The name by which the block device of a volume is found.
pub(super) fn name_of(volume: &str) -> PathBuf {
    Path::new(BY_NAME).join(volume)
}

pub(super) fn losetup(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("losetup")
        .args(arguments)
        .output()
        .map_err(|error| format!("losetup cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("losetup {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn attach(file: &Path, wanted: Option<&Path>, name: &str) -> Result<Outcome, String> {
    // Linux 6.1 does not ask for the size of a file that it makes a device of, and knows it only when somebody has.
    let known = std::fs::metadata(file);
    known.map_err(|error| format!("the size of {} cannot be told: {error}", file.display()))?;
    let file = file.to_string_lossy();
    let device = match wanted {
        Some(device) => {
            losetup(&["--direct-io=on", &device.to_string_lossy(), &file])?;
            device.to_owned()
        }
        None => attach_free(&file)?,
    };
    match link(&device, name) {
        Ok(()) => Ok(Outcome::Attached(device)),
        Err(why) => {
            losetup(&["--detach", &device.to_string_lossy()])?;
            Err(why)
        }
    }
}

/// Gives a device the volume's name.
fn link(device: &Path, name: &str) -> Result<(), String> {
    let link = name_of(name);
    let linked = std::fs::create_dir_all(BY_NAME).and_then(|()| {
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(device, &link)
    });
    linked.map_err(|error| format!("{} cannot be made: {error}", link.display()))
}

fn connect(plan: &Plan, name: &str, guard: &Mutex<Option<Guard>>) -> Result<Outcome, String> {
    let folder = plan.socket.parent().unwrap_or(Path::new("/"));
    let backend = kernel_nbd::new_backend(folder)
        .map_err(|error| format!("the NBD device cannot be named: {error}"))?;
    // First: there must be no moment when nobody would end it.
    let started = Guard::start(&backend)
        .map_err(|error| format!("the NBD device's guard cannot be started: {error}"))?;
    let device = kernel_nbd::connect(plan, &backend)?;
    // Else its guard ends it here.
    link(&device, name)?;
    *guard.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
    Ok(Outcome::Attached(device))
}

/// What the present NBD device says its backend is.
fn backend(guard: &Mutex<Option<Guard>>) -> String {
    let guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    guard.as_ref().map(|guard| guard.backend().to_owned()).unwrap_or_default()
}

/// What is left of a ublk device that could not be begun with.
fn give_up(id: u32, why: String) -> Outcome {
    Outcome::Refused(match ublk::remove(id) {
        Ok(()) => why,
        Err(more) => format!("{why}; {more}"),
    })
}

fn end(device: &Path, name: &str) -> Result<Outcome, String> {
    refuse_if_held(device)?;
    ublk::remove_device(device)?;
    // It is only a name.
    let _ = std::fs::remove_file(name_of(name));
    Ok(Outcome::Detached)
}

/// Nothing puts the end of an NBD or ublk device off until it is closed.
fn refuse_if_held(device: &Path) -> Result<(), String> {
    let held = |how: &str| Err(format!("the volume is held open: {} is {how}", device.display()));
    if in_use(device) {
        return held(
            &mounted_at(device).map_or_else(|| "in use".to_owned(), |at| format!("mounted at {at}")),
        );
    }
    writer(device).map_or(Ok(()), |who| held(&format!("open in {who}")))
}

fn disconnect(device: &Path, name: &str, guard: &Mutex<Option<Guard>>) -> Result<Outcome, String> {
    let backend = backend(guard);
    // An administrator may have ended it, and somebody else have made one of the same number.
    if kernel_nbd::is_backed_by(device, &backend) {
        refuse_if_held(device)?;
    }
    if let Some(why) = kernel_nbd::release(&backend).into_iter().next() {
        return Err(why);
    }
    // Nothing is left for it to end.
    drop(guard.lock().unwrap_or_else(PoisonError::into_inner).take());
    // It is only a name.
    let _ = std::fs::remove_file(name_of(name));
    Ok(Outcome::Detached)
}

/// Whether somebody has the device for himself: a mount, swap space, another block device.
fn in_use(device: &Path) -> bool {
    let opened = rustix::fs::open(device, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty());
    matches!(opened, Err(Errno::BUSY))
}

/// The first loop device that is free, on the file. Where /dev is not the kernel's own, as in a container, nobody makes the
/// nodes of devices that come new: then this does.
fn attach_free(file: &str) -> Result<PathBuf, String> {
    let mut last = String::new();
    for _ in 0..FREE_ATTEMPTS {
        let device = losetup(&["--find"])?;
        make_node(Path::new(&device)).map_err(|error| format!("{device} cannot be made: {error}"))?;
        match losetup(&["--direct-io=on", &device, file]) {
            Ok(_) => return Ok(PathBuf::from(device)),
            // Somebody else was faster, as a rule.
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn make_node(device: &Path) -> std::io::Result<()> {
    let number = device.to_string_lossy().strip_prefix("/dev/loop").and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|_| !device.exists()) else { return Ok(()) };
    let number = rustix::fs::makedev(LOOP_MAJOR, number);
    match rustix::fs::mknodat(rustix::fs::CWD, device, FileType::BlockDevice, NODE_MODE, number) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn detach(device: &Path, name: &str) -> Result<Outcome, String> {
    // Detaching a device in use would only be put off until it is not.
    if in_use(device) {
        let at = mounted_at(device).map_or_else(|| "in use".to_owned(), |path| format!("mounted at {path}"));
        return Err(format!("the volume is held open: {} is {at}", device.display()));
    }
    losetup(&["--detach", &device.to_string_lossy()])?;
    // It is only a name.
    let _ = std::fs::remove_file(name_of(name));
    Ok(Outcome::Detached)
}
