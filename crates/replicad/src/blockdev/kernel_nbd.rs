//! The kernel's NBD client: makes a block device of a connection to the volume's own export. What it does waits for the
//! kernel, and through it for the owner: it is for threads beside it.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::genl::{self, Connect, Said};

/// Where the kernel shows block devices that no hardware is behind.
const BLOCK_DEVICES: &str = "/sys/devices/virtual/block";
/// Before what a device's backend is called.
const BACKEND: &str = "hactl-replica";
/// The first kernel that keeps a device's backend (Linux 5.14): without it, whose a device is cannot be told.
const MIN_KERNEL: (u32, u32) = (5, 14);
/// How long the kernel, and the own export, may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for what the kernel says at a time.
const ANSWER_BYTES: usize = 16 * 1024;
/// `NBDMAGIC`, `IHAVEOPT`, and the option that opens an export.
const GREETING: [u8; 16] = *b"NBDMAGICIHAVEOPT";
const EXPORT_NAME: u32 = 1;
/// Fixed newstyle, no zeroes after the answer.
const CLIENT_FLAGS: u32 = 3;

/// A volume as the kernel is to have it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The socket of its export.
    pub(crate) socket: PathBuf,
    /// Its name there.
    pub(crate) name: String,
    /// Bytes of a logical block.
    pub(crate) block: u32,
}

/// The family of the kernel's NBD client, and how to talk to it.
struct Kernel {
    socket: OwnedFd,
    family: u16,
}

impl Kernel {
    fn open() -> Result<Self, Errno> {
        Self::with_family(genl::NBD_FAMILY)
    }

    fn with_family(name: &str) -> Result<Self, Errno> {
        let kind = SocketType::RAW;
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, Some(GENERIC))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        let mut kernel = Self { socket, family: 0 };
        kernel.family = kernel.ask(&genl::get_family(name), genl::family_id)?.ok_or(Errno::NOENT)?;
        Ok(kernel)
    }

    /// Sends a request and waits until it is done. What it was answered with.
    fn ask<T>(&self, request: &[u8], answer: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Errno> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, request, SendFlags::empty(), &kernel)?;
        let mut found = None;
        let mut scratch = vec![0; ANSWER_BYTES];
        loop {
            let (bytes, _) = match rustix::net::recv(&self.socket, &mut scratch[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                received => received?,
            };
            for said in genl::said(&scratch[..bytes]) {
                match said {
                    Said::Acknowledged(0) => return Ok(found),
                    Said::Acknowledged(errno) => return Err(Errno::from_raw_os_error(errno)),
                    Said::Message(attributes) => found = found.or_else(|| answer(attributes)),
                }
            }
        }
    }
}

/// Whether this kernel has an NBD client that can be used: not in a network namespace of its own, and with devices that
/// say whose they are.
pub(crate) fn is_there() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    kernel_version(&release).is_some_and(|version| version >= MIN_KERNEL) && Kernel::open().is_ok()
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What a device's backend is called: unlike any other, and of this folder of a volume's sockets.
pub(super) fn new_backend(folder: &Path) -> std::io::Result<String> {
    let mut entropy = [0; 8];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())?;
    let folder = folder.canonicalize()?;
    Ok(format!("{BACKEND} {:016x} {}", u64::from_ne_bytes(entropy), folder.display()))
}

/// Whether a backend is of this folder.
fn is_of(backend: &str, folder: &Path) -> bool {
    let mut words = backend.splitn(3, ' ');
    words.next() == Some(BACKEND) && words.nth(1).is_some_and(|of| Path::new(of) == folder)
}

/// Makes a device of the volume's export. Without `backend` in the kernel it would be nobody's: then it is not made.
pub(super) fn connect(plan: &Plan, backend: &str) -> Result<PathBuf, String> {
    let (stream, size, flags) =
        negotiate(plan).map_err(|error| format!("the export cannot be opened: {error}"))?;
    let kernel = Kernel::open().map_err(|error| format!("the kernel has no NBD client: {error}"))?;
    let device = Connect { socket: stream.as_raw_fd(), size, block: plan.block, flags, backend };
    let index = kernel
        .ask(&genl::connect(kernel.family, &device), genl::index)
        .map_err(|error| format!("the kernel's NBD client refuses: {error}"))?
        .ok_or("the kernel does not say which NBD device it made")?;
    if backend_of(index).as_deref() != Some(backend) {
        let _ = kernel.ask(&genl::disconnect(kernel.family, index), genl::index);
        return Err(format!("/dev/nbd{index} does not say whose it is"));
    }
    Ok(PathBuf::from(format!("/dev/nbd{index}")))
}

/// Opens the export, as far as the kernel does not: size and transmission flags.
fn negotiate(plan: &Plan) -> std::io::Result<(UnixStream, u64, u16)> {
    let mut stream = UnixStream::connect(&plan.socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut greeting = [0; GREETING.len() + 2];
    stream.read_exact(&mut greeting)?;
    if greeting[..GREETING.len()] != GREETING {
        return Err(std::io::Error::other("this is no NBD server"));
    }
    stream.write_all(&open_export(&plan.name))?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    // The kernel goes by the socket's own.
    stream.set_read_timeout(None)?;
    let (size, flags) = answer.split_at(8);
    let size = size.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let flags = flags.iter().fold(0, |number, byte| number << 8 | u16::from(*byte));
    Ok((stream, size, flags))
}

fn open_export(name: &str) -> Vec<u8> {
    // A volume's name is short.
    let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let head: [&[u8]; 4] =
        [&CLIENT_FLAGS.to_be_bytes(), b"IHAVEOPT", &EXPORT_NAME.to_be_bytes(), &len.to_be_bytes()];
    [&head.concat(), name.as_bytes()].concat()
}

/// The index of a device.
fn index_of(device: &Path) -> Option<u32> {
    device.file_name()?.to_str()?.strip_prefix("nbd")?.parse().ok()
}

/// The device of exactly this backend takes note of another size.
pub(super) fn resize(backend: &str, size: u64) -> Result<(), String> {
    let device = devices(|other| other == backend).into_iter().next().ok_or("it is gone")?;
    tell(&device, |family, index| genl::resize(family, index, size, backend))
}

/// Whether a device is of exactly this backend.
pub(super) fn is_backed_by(device: &Path, backend: &str) -> bool {
    index_of(device).and_then(backend_of).is_some_and(|other| other == backend)
}

/// Ends a device. Requests under way fail, and so do all that come.
fn disconnect(device: &Path) -> Result<(), String> {
    tell(device, genl::disconnect)
}

fn tell<B: AsRef<[u8]>>(device: &Path, request: impl Fn(u16, u32) -> B) -> Result<(), String> {
    let failed = |error: Errno| format!("{}: the kernel's NBD client refuses: {error}", device.display());
    let index = index_of(device).ok_or_else(|| format!("{} is no NBD device", device.display()))?;
    let kernel = Kernel::open().map_err(failed)?;
    kernel.ask(request(kernel.family, index).as_ref(), genl::index).map_err(failed)?;
    Ok(())
}

/// What a device says its backend is.
fn backend_of(index: u32) -> Option<String> {
    let file = Path::new(BLOCK_DEVICES).join(format!("nbd{index}/backend"));
    Some(std::fs::read_to_string(file).ok()?.trim_end_matches('\n').to_owned())
}

/// Devices by what they say their backend is.
fn devices(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(BLOCK_DEVICES) else { return Vec::new() };
    let devices = entries.filter_map(Result::ok).map(|entry| Path::new("/dev").join(entry.file_name()));
    let is_wanted =
        |device: &PathBuf| index_of(device).and_then(backend_of).is_some_and(|backend| wanted(&backend));
    devices.filter(is_wanted).collect()
}

/// Ends the devices that a process of this volume has left. What could not be done is returned.
pub(super) fn clear(folder: &Path) -> Vec<String> {
    // There is no folder for the volume before its first start; and the devices of another's kernel are nothing to this one.
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let left = devices(|backend| is_of(backend, &folder));
    if left.is_empty() || Kernel::open().is_err() {
        return Vec::new();
    }
    left.iter().filter_map(|device| disconnect(device).err()).collect()
}

/// Ends the device of exactly this backend, if it is there.
pub(super) fn release(backend: &str) -> Vec<String> {
    devices(|other| other == backend).iter().filter_map(|device| disconnect(device).err()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
    use super::*;

    #[test]
    fn a_backend_names_the_volumes_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (r0, r1) = (folder.path().join("r 0"), folder.path().join("r"));
        std::fs::create_dir(&r0).unwrap();
        let backend = new_backend(&r0).unwrap();
        let r0 = r0.canonicalize().unwrap();
        assert!(is_of(&backend, &r0));
        assert!(!is_of(&backend, &r1));
        assert_ne!(new_backend(&r0).unwrap(), backend, "one for each device");
        for other in ["", "hactl-replica", "hactl-replica 1", "somebody /x", "qemu 1 /x"] {
            assert!(!is_of(other, Path::new("/x")), "{other}");
        }
    }

    #[test]
    fn the_kernel_is_asked_and_understood() {
        // The family that knows the families: GENL_ID_CTRL on every Linux.
        assert_eq!(Kernel::with_family("nlctrl").unwrap().family, 16);
        assert_eq!(Kernel::with_family("no such one").err(), Some(Errno::NOENT));
    }

    #[test]
    fn only_whole_devices_have_an_index() {
        assert_eq!(index_of(Path::new("/dev/nbd12")), Some(12));
        for other in ["/dev/nbd1p1", "/dev/loop1", "/dev/nbd", "/"] {
            assert_eq!(index_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn the_kernels_version_is_read() {
        assert_eq!(kernel_version("6.1.0-56-amd64"), Some((6, 1)));
        assert!(kernel_version("5.10.0").unwrap() < MIN_KERNEL);
        assert_eq!(kernel_version("rolling"), None);
    }

    #[test]
    fn the_own_server_opens_the_export() {
        let blocks = nbd::BlockSizes::new(512, 4096, 1 << 25).unwrap();
        let features = nbd::Features { flush: true, fua: true, ..nbd::Features::default() };
        let export = nbd::Export::new(1 << 30, blocks, features).unwrap();
        let exports = nbd::Exports::new([("r0".to_owned(), export)]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nbd");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut out, mut scratch) = (Vec::new(), [0; 256]);
            let mut session = nbd::Session::new(exports, nbd::TlsPolicy::Unsupported, &mut out);
            while session.export_name().is_none() {
                stream.write_all(&std::mem::take(&mut out)).unwrap();
                let bytes = stream.read(&mut scratch).unwrap();
                let mut input = &scratch[..bytes];
                while !input.is_empty() {
                    input = &input[session.receive(input, &mut out).unwrap().consumed..];
                }
            }
            stream.write_all(&out).unwrap();
        });
        let plan = Plan { socket, name: "r0".to_owned(), block: 512 };
        let (_stream, size, flags) = negotiate(&plan).unwrap();
        server.join().unwrap();
        assert_eq!(size, 1 << 30);
        assert_eq!(flags & 0b1101, 0b1101, "it has flags, FLUSH and FUA");
    }
}
