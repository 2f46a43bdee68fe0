//! The disks of a lab's node from the machine's side: what is written on them with the real tools, and what they hold.
//!
//! A loop device has the same number on the machine and in the node.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::TestLab;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// The entry of a partition of the type Linux, from sector 2048 on.
const MBR_ENTRY: [u8; 16] = [0, 0x20, 0x21, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 0, 0];
/// The beginning of what `sbd create` (version 1.5.2) writes.
const SBD_HEADER: [u8; 49] = *b"SBD_SBD_\x02\xff\0\0\0\0\x02\0\0\0\0\x05\0\0\0\x02\0\0\0\x01\0\0\0\x0a\x019\x32/\x07\xfb\x01O`\xa3pPv\xe7X2o";

/// A disk of a node.
pub(crate) struct Disk {
    pub(crate) device: PathBuf,
    file: PathBuf,
}

impl Disk {
    /// The disk that the lab calls so.
    pub(crate) fn of(lab: &TestLab, node: &str, name: &str) -> Self {
        let link = format!("/dev/disk/by-id/virtio-{node}-{name}");
        let device = PathBuf::from(lab.on(node, &format!("readlink -f {link}")).trim());
        let number = device.file_name().expect("a loop device").to_string_lossy().into_owned();
        let backing = format!("/sys/block/{number}/loop/backing_file");
        let file = fs::read_to_string(&backing).unwrap_or_else(|error| panic!("{backing}: {error}"));
        Self { device, file: PathBuf::from(file.trim_end()) }
    }

    /// The kernel's name of it.
    pub(crate) fn name(&self) -> String {
        self.device.file_name().expect("a loop device").to_string_lossy().into_owned()
    }

    /// Runs a program with the device as its last argument.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) {
        let shown = |device: &Path| format!("{} {}", command.join(" "), device.display());
        let output = Command::new(command[0])
            .args(&command[1..])
            .arg(&self.device)
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "9.0.0")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", shown(&self.device)));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}", shown(&self.device));
    }

    /// Writes bytes.
    #[track_caller]
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.device).expect("it opens");
        file.write_all_at(bytes, offset as u64).expect("it is written");
        file.sync_all().expect("it is on disk");
    }

    /// A partition table of the old kind with one partition.
    pub(crate) fn partition(&self) {
        let mut sector = [0_u8; SECTOR];
        sector[440..444].copy_from_slice(&[0x01, 0, 0xde, 0xc0]);
        sector[446..462].copy_from_slice(&MBR_ENTRY);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        self.write(0, &sector);
    }

    /// A GPT without any partition, as an installer leaves it that only wrote a label.
    pub(crate) fn empty_gpt(&self, size_bytes: u64) {
        let last = size_bytes / SECTOR as u64 - 1;
        let entries = [0_u8; 128 * 128];
        let mut protective = [0_u8; SECTOR];
        protective[446..462]
            .copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        protective[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut header = [0_u8; SECTOR];
        header[..8].copy_from_slice(b"EFI PART");
        for (at, value) in [(8, 0x0001_0000_u32), (12, 92), (80, 128), (84, 128), (88, crc32(&entries))] {
            header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in [(24, 1), (32, last), (40, 34), (48, last - 33), (72, 2)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[56..72].copy_from_slice(b"\x01\0\xbb\xbb\xaa\xaa\0\x40\x80\0\0\0\0\0\0\x07");
        let sum = crc32(&header[..92]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        self.write(0, &protective);
        self.write(SECTOR, &header);
        self.write(2 * SECTOR, &entries);
    }

    /// The superblock of a member of an array (version 1.2: `mdp_superblock_1` of linux/raid/md_p.h).
    pub(crate) fn md_member(&self) {
        let mut block = [0_u8; 264];
        for (at, value) in [(0, 0xa92b_4efc_u32), (4, 1), (72, 1), (92, 2), (220, 2)] {
            block[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        block[16..32].copy_from_slice(b"\x77\x77\x77\x77\0\0\x40\0\x80\0\0\0\0\0\0\x01");
        block[32..39].copy_from_slice(b"other:0");
        // Where the superblock itself stands, in sectors; and the events that make it valid.
        block[144..152].copy_from_slice(&8_u64.to_le_bytes());
        block[128..136].copy_from_slice(&2048_u64.to_le_bytes());
        block[136..144].copy_from_slice(&65536_u64.to_le_bytes());
        let sum: u64 =
            block[..260].chunks(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap()))).sum();
        let sum = ((sum & 0xffff_ffff) + (sum >> 32)) as u32;
        block[216..220].copy_from_slice(&sum.to_le_bytes());
        self.write(4096, &block);
    }

    /// What `sbd create` writes first.
    pub(crate) fn sbd(&self) {
        self.write(0, &SBD_HEADER);
    }

    /// The digest of everything on it.
    pub(crate) fn digest(&self) -> String {
        self.flush();
        // Many times as fast as a digest in a test that is not optimised.
        let output =
            Command::new("sha256sum").arg("--binary").arg(&self.file).output().expect("sha256sum runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes it read-only for as long as the result lives: the flag stays with the loop device, whoever has it next.
    pub(crate) fn read_only(&self) -> ReadOnly<'_> {
        self.run(&["blockdev", "--setro"]);
        ReadOnly(self)
    }

    /// Everything written to the device is in its file, and what is cached is forgotten.
    pub(crate) fn flush(&self) {
        self.run(&["blockdev", "--flushbufs"]);
    }
}

/// A disk that is read-only.
pub(crate) struct ReadOnly<'a>(&'a Disk);

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        // A failure here must not hide that of the test.
        let ran = Command::new("blockdev").arg("--setrw").arg(&self.0.device).status();
        if !ran.is_ok_and(|status| status.success()) {
            eprintln!("{} stayed read-only", self.0.device.display());
        }
    }
}

/// The checksum of GPT (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    };
    !bytes.iter().fold(!0, step)
}
