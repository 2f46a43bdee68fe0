//! The volume's block device: made when the node becomes Primary, taken away before it becomes Secondary.

use replica::{Admin, ClientError};
use rustix::io::Errno;

use super::orders::{Condition, Step};
use super::owner::Volume;
use crate::blockdev::{self, FuseEvent, FuseFile, NbdPlan, Outcome, Settled, UblkPlan};
use crate::control;
use crate::poll::Interest;
use crate::requests::{Answer, Origin};
use crate::settings::Attach;

/// How the volume is handed to the system here: `auto` is settled once, when the process starts.
pub(super) fn settled(attach: Attach) -> Attach {
    match attach {
        Attach::Auto if blockdev::has_ublk() => Attach::Ublk,
        Attach::Auto if blockdev::has_kernel_nbd() => Attach::Nbd,
        Attach::Auto => Attach::Fuse,
        chosen => chosen,
    }
}

/// Who holds the volume open when it is the block device.
pub(super) const HOLDER: &str = "the block device";

impl Volume {
    /// The steps after a promotion.
    pub(super) fn steps_to_attach(&self) -> Vec<Step> {
        match self.settings.attach {
            Attach::None => Vec::new(),
            Attach::Ublk | Attach::Nbd | Attach::Fuse | Attach::Auto => {
                vec![Step::OpenDevice, Step::Until(Condition::DeviceSettled), Step::DeviceIsThere]
            }
        }
    }

    /// The steps before a demotion.
    pub(super) fn steps_to_detach(&self) -> Vec<Step> {
        match self.has_device() {
            false => Vec::new(),
            true => vec![
                Step::CloseDevice,
                Step::Until(Condition::DeviceSettled),
                Step::DeviceIsGone,
                Step::Until(Condition::DeviceReleased),
            ],
        }
    }

    /// Whether there is a block device, or the file for one, or either is about to be.
    pub(super) fn has_device(&self) -> bool {
        self.device.state != Settled::Absent || self.fuse.is_some() || self.ublk.is_some()
    }

    pub(super) fn open_device(&mut self) -> Result<(), String> {
        if self.has_device() {
            return Ok(());
        }
        self.device_trouble = None;
        if self.settings.attach == Attach::Ublk {
            let (folder, block) = (self.paths.run.clone(), self.minimum_block());
            self.device.make(UblkPlan { folder, size: self.size, block });
            return Ok(());
        }
        if self.settings.attach == Attach::Nbd {
            let plan = NbdPlan {
                socket: self.paths.nbd(),
                name: self.settings.name.clone(),
                block: self.minimum_block(),
            };
            self.device.connect(plan);
            return Ok(());
        }
        let path = self.paths.fuse();
        let file = FuseFile::mount(&path, self.size)
            .map_err(|error| format!("the volume's file cannot be mounted at {}: {error}", path.display()))?;
        self.poller
            .watch(file.device(), super::owner::FUSE, Interest::READ)
            .map_err(|error| format!("the volume's file cannot be served: {error}"))?;
        self.fuse = Some(file);
        self.device.attach(&path);
        Ok(())
    }

    /// The volume has become larger, and its block device with it.
    pub(super) fn grow_device(&mut self) {
        if let Some(file) = &mut self.fuse {
            file.grow(self.size);
            return self.device.grow(&self.paths.fuse());
        }
        if self.settings.attach == Attach::Ublk {
            return self.grow_ublk();
        }
        if let Err(error) = self.clients.resize_own(self.size) {
            return self.say(&format!("the block device does not grow: {error}"));
        }
        self.device.resize(self.size);
    }

    pub(super) fn close_device(&mut self) {
        // What went wrong before, growing say, has nothing to do with this.
        self.device_trouble = None;
        match self.device_kind() {
            Some("fuse") => self.device.detach(),
            Some("ublk") => self.device.end(),
            _ => self.device.disconnect(),
        }
    }

    /// By what the block device is, where there is one.
    pub(super) fn device_kind(&self) -> Option<&'static str> {
        let there = matches!(self.device.state, Settled::Present(_));
        there.then_some(match (&self.fuse, &self.ublk) {
            (Some(_), _) => "fuse",
            (_, Some(_)) => "ublk",
            _ => "nbd",
        })
    }

    /// Something was done about the device.
    pub(super) fn device_settled(&mut self) {
        match self.device.ended() {
            Some(Outcome::Made(made)) => self.serve_ublk(made),
            Some(Outcome::Attached(device)) => {
                self.say(&format!("block device: {}", device.display()));
                self.grow_ublk();
            }
            Some(Outcome::Detached) => self.say("block device: none"),
            Some(Outcome::Refused(why)) => {
                self.say(&why);
                self.device_trouble = Some(why);
            }
            None => {}
        }
        if self.device.state == Settled::Absent && self.device_trouble.is_some() {
            self.unmount();
            self.drop_ublk();
        }
    }

    /// Whether the device is as it was wanted; else why not.
    pub(super) fn device_result(&mut self) -> Result<(), control::Reply> {
        match self.device_trouble.take() {
            None => Ok(()),
            Some(why) => Err(control::Reply::new(control::Outcome::Refused, Some(why))),
        }
    }

    /// Nobody has the file open, no loop device rests on it, and the kernel is no client any more.
    pub(super) fn device_is_released(&mut self) -> bool {
        let absent = self.device.state == Settled::Absent;
        let released = absent && self.fuse_opened == 0 && !self.clients.has_own() && self.ublk.is_none();
        if released && self.fuse.is_some() {
            self.unmount();
        }
        released
    }

    fn unmount(&mut self) {
        if let Some(file) = self.fuse.take() {
            self.poller.forget(file.device());
            for _ in 0..std::mem::take(&mut self.fuse_opened) {
                self.quiet(Admin::Closed { holder: HOLDER.to_owned() });
            }
        }
    }

    pub(super) fn fuse_ready(&mut self) {
        if let Some(file) = &mut self.fuse {
            file.receive();
        }
    }

    /// Takes in what the kernel wants. Whether there was anything.
    pub(super) fn take_fuse(&mut self) -> bool {
        let mut busy = false;
        while let Some(event) = self.fuse.as_mut().and_then(|file| file.events.pop_front()) {
            busy = true;
            match event {
                FuseEvent::Opened => {
                    self.fuse_opened += 1;
                    self.quiet(Admin::Opened { holder: HOLDER.to_owned() });
                }
                FuseEvent::Released => {
                    self.fuse_opened = self.fuse_opened.saturating_sub(1);
                    self.quiet(Admin::Closed { holder: HOLDER.to_owned() });
                }
                FuseEvent::Request { unique, wanted, written } => {
                    self.begin(Origin::Fuse { unique, written }, wanted);
                }
                FuseEvent::Gone => self.unmount(),
            }
        }
        busy
    }

    pub(super) fn answer_fuse(&self, unique: u64, written: u32, answer: Answer) {
        let Some(file) = &self.fuse else { return };
        file.reply(unique, written, answer.result.map_err(errno));
    }
}

/// A request's failure in the kernel's words.
pub(super) fn errno(error: ClientError) -> Errno {
    match error {
        ClientError::Invalid => Errno::INVAL,
        ClientError::NotPrimary | ClientError::Io | ClientError::NoQuorum => Errno::IO,
    }
}
