//! Commands to the ublk driver: they make devices, grow them and take them away. What they do waits for the kernel, and through
//! it for the owner: they are for threads beside it.

use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::abi::{self, Features, Info, NO_DEVICE, command};

/// Where the driver takes commands.
const CONTROL: &str = "/dev/ublk-control";
/// Where the kernel shows its devices, also those that nobody serves any more.
const DEVICES: &str = "/sys/class/ublk-char";
/// Before what a device's owner is reckoned from.
const OWNER: &[u8] = b"hactl-replica";
/// Offset basis and prime of FNV-1a (64 bit; RFC 9923).
const HASH_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x100_0000_01b3;
/// How long to wait until nobody uses a device any more that is taken away. After that it goes with its last user.
const REMOVE_LIMIT: Duration = Duration::from_secs(2);

/// A volume as the kernel is to have it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The folder of its sockets, which says whose it is.
    pub(crate) folder: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes of a logical block.
    pub(crate) block: u32,
}

/// A device that was made and is not served yet.
#[derive(Debug)]
pub(crate) struct Made {
    /// Its number.
    pub(crate) id: u32,
    /// Bytes.
    pub(super) size: u64,
    /// What requests are fetched by.
    pub(super) file: OwnedFd,
    /// Whether it can grow while it is in use.
    pub(super) growing: bool,
}

/// Gives the driver a command and waits until it is done, or at most so long. What goes in, or has come out, is the payload.
fn run(
    command: u32,
    device: u32,
    payload: Vec<u8>,
    number: u64,
    limit: Option<Duration>,
) -> std::io::Result<Vec<u8>> {
    let control = rustix::fs::open(CONTROL, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut ring = IoUring::<squeue::Entry128, cqueue::Entry>::builder().build(1)?;
    let mut bytes = [0; 80];
    bytes[..abi::CONTROL_BYTES].copy_from_slice(&abi::control(device, &payload, number));
    let entry = opcode::UringCmd80::new(types::Fd(control.as_raw_fd()), command).cmd(bytes).build();
    // SAFETY: the descriptor and the payload, whose address is in the command, live until the command is done, or for good.
    let pushed = unsafe { ring.submission().push(&entry) };
    pushed.map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
    match wait(&mut ring, limit) {
        Ok(result) if result < 0 => Err(Errno::from_raw_os_error(-result).into()),
        Ok(_) => Ok(payload),
        Err(error) => {
            // The kernel may still use it: it is given up, never freed.
            std::mem::forget(payload);
            Err(error)
        }
    }
}

/// What the one command comes to.
fn wait(
    ring: &mut IoUring<squeue::Entry128, cqueue::Entry>,
    limit: Option<Duration>,
) -> std::io::Result<i32> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let entered = match deadline {
            None => ring.submit_and_wait(1),
            Some(deadline) => {
                let left = Timespec::from(deadline.saturating_duration_since(Instant::now()));
                ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&left))
            }
        };
        if let Some(answer) = ring.completion().next() {
            return Ok(answer.result());
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(ErrorKind::TimedOut.into());
        }
        match entered {
            Err(error) if error.raw_os_error() == Some(Errno::TIME.raw_os_error()) => {}
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

fn features() -> std::io::Result<Features> {
    let answer = run(command::GET_FEATURES, NO_DEVICE, Features::question(), 0, None)?;
    Ok(Features::decode(&answer))
}

/// Whether this kernel has a ublk driver that can be used.
pub(crate) fn is_there() -> bool {
    features().is_ok_and(Features::are_enough)
}

/// Whose devices are: of this folder of a volume's sockets. Another folder of that name, in another container, is another one.
fn owner(folder: &Path) -> std::io::Result<u64> {
    let folder = folder.canonicalize()?;
    let metadata = folder.metadata()?;
    let (device, inode) = (metadata.dev().to_ne_bytes(), metadata.ino().to_ne_bytes());
    let parts = [OWNER, device.as_slice(), inode.as_slice(), folder.as_os_str().as_bytes()];
    let bytes = parts.into_iter().flatten();
    Ok(bytes.fold(HASH_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(HASH_PRIME)))
}

/// Makes a device. It begins with [`begin`], once it is served.
pub(in super::super) fn make(plan: &Plan) -> Result<Made, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("the kernel's ublk driver cannot be used: {error}");
    let features = features().map_err(|error| cannot(&error))?;
    if !features.are_enough() {
        return Err(cannot(&"it is older than Linux 6.5"));
    }
    let owner = owner(&plan.folder).map_err(|error| cannot(&error))?;
    let added = run(command::ADD, NO_DEVICE, Info::new_device(owner, features), 0, None);
    let id =
        Info::decode(&added.map_err(|error| format!("the kernel's ublk driver makes no device: {error}"))?)
            .id;
    let params = abi::params(plan.size, plan.block);
    let described = run(command::SET_PARAMS, id, params, 0, None)
        .map_err(|error| format!("the kernel's ublk driver does not take such a volume: {error}"));
    let opened = described.and_then(|_| {
        let path = format!("/dev/ublkc{id}");
        rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| format!("{path} cannot be opened: {error}"))
    });
    match opened {
        Ok(file) => Ok(Made { id, size: plan.size, file, growing: features.growing() }),
        Err(why) => Err(remove(id).err().map_or(why.clone(), |more| format!("{why}; {more}"))),
    }
}

/// The block device of a number.
fn device_of(id: u32) -> PathBuf {
    PathBuf::from(format!("/dev/ublkb{id}"))
}

/// The number of a block device.
fn id_of(device: &Path) -> Option<u32> {
    device.file_name()?.to_str()?.strip_prefix("ublkb")?.parse().ok()
}

/// Begins with a device that is served by now. The kernel reads from it at once, to look for partitions.
pub(in super::super) fn begin(id: u32) -> Result<PathBuf, String> {
    let process = u64::from(std::process::id());
    run(command::START, id, Vec::new(), process, None)
        .map_err(|error| format!("the kernel's ublk driver does not begin: {error}"))?;
    let device = device_of(id);
    if device.exists() { Ok(device) } else { Err(format!("nobody makes {} here", device.display())) }
}

/// A device takes note of another size.
pub(in super::super) fn enlarge(device: &Path, size: u64) -> Result<(), String> {
    let id = id_of(device).ok_or("it is no ublk device")?;
    let done = run(command::UPDATE_SIZE, id, Vec::new(), abi::size_number(size), None);
    done.map(drop).map_err(|error| format!("the kernel's ublk driver refuses: {error}"))
}

/// Takes a device away. Requests under way are answered before; those that come later fail.
pub(in super::super) fn remove(id: u32) -> Result<(), String> {
    let failed =
        |error: Error| format!("{}: the kernel's ublk driver refuses: {error}", device_of(id).display());
    let is_gone = |error: &Error| error.raw_os_error() == Some(Errno::NODEV.raw_os_error());
    // First this, which waits for no other device; while devices are deleted none can be made or deleted.
    match run(command::STOP, id, Vec::new(), 0, None) {
        Err(error) if is_gone(&error) => return Ok(()),
        stopped => stopped.map_err(failed)?,
    };
    match run(command::DELETE, id, Vec::new(), 0, Some(REMOVE_LIMIT)) {
        // It is deleted, and goes with its last user: somebody has it mounted still, say.
        Err(error) if error.kind() == ErrorKind::TimedOut || is_gone(&error) => Ok(()),
        deleted => deleted.map(drop).map_err(failed),
    }
}

/// Takes a block device away.
pub(in super::super) fn remove_device(device: &Path) -> Result<(), String> {
    id_of(device).map_or(Ok(()), remove)
}

/// Takes away the devices that a process of this volume has left. What could not be done is returned.
pub(in super::super) fn clear(folder: &Path) -> Vec<String> {
    // There is no folder for the volume before its first start, and without the driver no device.
    let (Ok(owner), Ok(devices)) = (owner(folder), std::fs::read_dir(DEVICES)) else { return Vec::new() };
    let ids = devices
        .filter_map(Result::ok)
        .filter_map(|device| device.file_name().to_str()?.strip_prefix("ublkc")?.parse::<u32>().ok());
    // Where nothing can be asked, in a container, they are another's.
    let left = ids.filter(|id| {
        let answer = run(command::GET_INFO, *id, Info::question(), 0, None);
        answer.is_ok_and(|answer| Info::decode(&answer).owner == owner)
    });
    left.filter_map(|id| remove(id).err()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    #[test]
    fn an_owner_is_one_folder_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            owner(&path).unwrap()
        };
        assert_eq!(of("r0"), of("r0"));
        assert_ne!(of("r0"), of("r1"));
        assert!(owner(&folder.path().join("r2")).is_err(), "before its first start a volume has none");
        let before = of("r0");
        std::fs::rename(folder.path().join("r0"), folder.path().join("old")).unwrap();
        assert_ne!(of("r0"), before, "another folder of the same name");
    }

    #[test]
    fn only_whole_devices_have_a_number() {
        assert_eq!(id_of(&device_of(12)), Some(12));
        for other in ["/dev/ublkb1p1", "/dev/ublkc1", "/dev/loop1", "/dev/ublkb", "/"] {
            assert_eq!(id_of(Path::new(other)), None, "{other}");
        }
    }
}
