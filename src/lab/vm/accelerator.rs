//! Whether virtual machines run on the processor itself (KVM) or are emulated.
//!
//! In: /dev/kvm. Out: an answer that was tried: where the host is a virtual machine itself, the device may be there and a
//! guest may hang in its firmware. A tiny guest is booted with a deadline; the answer holds until the host boots again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::Say;
use crate::lab::cache::Entry;
use crate::lab::config::Accelerator;
use crate::lab::error::LabError;
use crate::lab::process::Program;
use crate::lab::record::{boot_id, replace};

use super::emulator::{PROGRAM, quoted};

/// Longest time that the tiny guest may take. Where KVM works it takes less than one second.
const TRIAL_LIMIT: Duration = Duration::from_secs(10);
/// A boot sector that writes 0x31 to I/O port 0xf4 and halts:
/// `mov al, 0x31; out 0xf4, al; hlt; jmp` back to `hlt`.
const BOOT_CODE: [u8; 7] = [0xb0, 0x31, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
/// What QEMU's isa-debug-exit makes of 0x31: `value * 2 + 1`.
const TRIAL_STATUS: i32 = 0x63;
/// Bytes of a boot sector, of which the last two say that it is one.
const SECTOR_BYTES: usize = 512;

/// What virtual machines run with on this host.
pub(crate) fn choose(cache_dir: &Path, say: Say<'_>) -> Result<Accelerator, LabError> {
    if !Path::new("/dev/kvm").exists() {
        say("there is no /dev/kvm: virtual machines are emulated, which is many times slower");
        return Ok(Accelerator::Tcg);
    }
    let known = cache_dir.join("kvm-works");
    let boot = boot_id()?;
    let works = match fs::read_to_string(&known).ok().as_deref().and_then(|text| remembered(text, &boot)) {
        Some(works) => works,
        None => {
            let works = trial(&boot_disk(cache_dir, say)?)?;
            replace(&known, &format!("{boot} {works}\n"))?;
            works
        }
    };
    if works {
        return Ok(Accelerator::Kvm);
    }
    say(
        "a guest does not boot with this machine's /dev/kvm: virtual machines are emulated, which is many times slower",
    );
    Ok(Accelerator::Tcg)
}

/// The answer of an earlier trial, if it was in this boot.
fn remembered(text: &str, boot: &str) -> Option<bool> {
    let (at, works) = text.trim().split_once(' ')?;
    (at == boot).then_some(works == "true")
}

/// A disk with the tiny guest.
fn boot_disk(cache_dir: &Path, say: Say<'_>) -> Result<PathBuf, LabError> {
    let name = "boot.img";
    let entry = Entry::new(cache_dir, "kvm-trial", &[&format!("{BOOT_CODE:x?}")]);
    let dir = entry.get(say, |dir| {
        let disk = dir.join(name);
        fs::write(&disk, boot_sector()).map_err(LabError::io("write", &disk))
    })?;
    Ok(dir.join(name))
}

/// Boots the tiny guest. Whatever goes wrong with it means no.
fn trial(disk: &Path) -> Result<bool, LabError> {
    match Program::new("try KVM", trial_argv(disk)).limit(TRIAL_LIMIT).finish() {
        Ok(finished) => Ok(finished.status.code() == Some(TRIAL_STATUS)),
        Err(LabError::Timeout { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn trial_argv(disk: &Path) -> Vec<String> {
    let drive = format!("file={},format=raw,if=ide,snapshot=on", quoted(disk));
    [
        PROGRAM,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "pc,accel=kvm",
        "-cpu",
        "host",
        "-m",
        "64",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=0x04",
        "-drive",
        &drive,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn boot_sector() -> Vec<u8> {
    let mut sector = BOOT_CODE.to_vec();
    sector.resize(SECTOR_BYTES - 2, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_one_boot() {
        assert_eq!(remembered("boot-1 true\n", "boot-1"), Some(true));
        assert_eq!(remembered("boot-1 false\n", "boot-1"), Some(false));
        assert_eq!(remembered("boot-1 true\n", "boot-2"), None);
        assert_eq!(remembered("", "boot-2"), None);
    }

    #[test]
    fn a_boot_sector_ends_as_the_firmware_expects() {
        let sector = boot_sector();
        assert_eq!((sector.len(), &sector[510..]), (512, &[0x55, 0xaa][..]));
    }
}
