//! The volume as a ublk device: its requests become requests of the core, and the answers go back.

use replica::Admin;

use super::device::{HOLDER, errno};
use super::owner::{TOGETHER, UBLK, Volume};
use crate::blockdev::{GROWING_SINCE, Made, Settled, Ublk, UblkEvent};
use crate::poll::Interest;
use crate::requests::{Answer, Origin};

impl Volume {
    /// The kernel has made a device: it begins once it is served.
    pub(super) fn serve_ublk(&mut self, made: Made) {
        let id = made.id;
        let serial = self.requests.number().0;
        let served = Ublk::new(made, serial).and_then(|ublk| {
            self.poller.watch(ublk.wake(), UBLK, Interest::READ)?;
            Ok(ublk)
        });
        match served {
            Ok(ublk) => {
                self.ublk = Some(ublk);
                self.quiet(Admin::Opened { holder: HOLDER.to_owned() });
                self.device.begin(id);
            }
            Err(error) => self.device.abandon(id, format!("the ublk device cannot be served: {error}")),
        }
    }

    pub(super) fn drop_ublk(&mut self) {
        if let Some(ublk) = self.ublk.take() {
            self.poller.forget(ublk.wake());
            self.quiet(Admin::Closed { holder: HOLDER.to_owned() });
        }
    }

    pub(super) fn ublk_ready(&mut self) {
        if let Some(ublk) = &mut self.ublk {
            ublk.receive();
        }
    }

    /// Takes in what the kernel wants, as far as there is room. Whether there was anything.
    pub(super) fn take_ublk(&mut self) -> bool {
        let mut taken = 0;
        while !self.is_full() {
            let Some(event) = self.ublk.as_mut().and_then(Ublk::next_event) else { break };
            match event {
                UblkEvent::Request { tag, wanted } => {
                    let serial = self.ublk.as_ref().map_or(0, |ublk| ublk.serial);
                    self.begin(Origin::Ublk { serial, tag }, wanted);
                }
                UblkEvent::Gone => {
                    self.drop_ublk();
                    if self.device.lost() {
                        self.say("the block device was taken away; another promotion makes a new one");
                    }
                }
            }
            taken += 1;
            if taken % TOGETHER == 0 {
                self.send();
            }
        }
        taken > 0
    }

    pub(super) fn answer_ublk(&mut self, serial: u64, tag: u16, answer: Answer) {
        if let Some(ublk) = self.ublk.as_mut().filter(|ublk| ublk.serial == serial) {
            ublk.reply(tag, answer.result.map_err(errno));
        }
    }

    /// Passes on all answers. A device that does not take them ends: whoever uses it gets errors, and does not wait for good.
    pub(super) fn flush_ublk(&mut self) {
        if let Some(Err(error)) = self.ublk.as_mut().map(Ublk::flush) {
            self.say(&format!("the kernel does not take what the block device answers: {error}"));
            self.drop_ublk();
            self.device.lost();
        }
    }

    /// The device grows with the volume, where the kernel can do that.
    pub(super) fn grow_ublk(&mut self) {
        let present = matches!(self.device.state, Settled::Present(_));
        let Some(ublk) = self.ublk.as_mut().filter(|ublk| present && ublk.size < self.size) else { return };
        if ublk.growing {
            ublk.size = self.size;
            self.device.enlarge(self.size);
        } else if let Some(why) = self.smaller_device() {
            self.say(&why);
        }
    }

    /// What users of the block device do not have of the volume, and what is to be done about it.
    pub(super) fn smaller_device(&self) -> Option<String> {
        let ublk = self.ublk.as_ref().filter(|ublk| ublk.size < self.size)?;
        Some(format!(
            "the block device has {} bytes until the next promotion, the volume {}: a ublk device grows while it is in use \
             from {GROWING_SINCE} on; demote this node and promote it again, or move the volume to the other one",
            ublk.size, self.size
        ))
    }
}
