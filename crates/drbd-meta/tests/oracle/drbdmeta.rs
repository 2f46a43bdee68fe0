//! Running `drbdmeta` on a file.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use drbd_meta::{Bitmap, Layout, Superblock, Write};

/// Minors that are used: `drbdmeta` locks them and remembers things by them, and other runs must not be disturbed.
const FIRST_MINOR: u32 = 100_000;
const MINORS: u32 = 900_000;
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A sparse file that stands for a backing device.
pub(crate) struct Device {
    folder: tempfile::TempDir,
    minor: u32,
    size: u64,
}

impl Device {
    pub(crate) fn new(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let minor = FIRST_MINOR + (std::process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed)) % MINORS;
        let device = Self { folder, minor, size };
        std::fs::File::create(device.path()).unwrap().set_len(size).unwrap();
        device
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("device")
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Runs `drbdmeta --force MINOR FORMAT FILE internal …`, as for a node with that version of DRBD.
    pub(crate) fn run(&self, format: &str, arguments: &[&str]) -> Output {
        Command::new("drbdmeta")
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .env("DRBD_DRIVER_VERSION_OVERRIDE", if format == "v08" { "8.4.11" } else { "9.0.0" })
            .args(["--force", &self.minor.to_string(), format])
            .arg(self.path())
            .arg("internal")
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The same; it must succeed. What it wrote to stdout.
    pub(crate) fn drbdmeta(&self, format: &str, arguments: &[&str]) -> String {
        let output = self.run(format, arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "drbdmeta {format} {arguments:?}: {}\n{out}{err}", output.status);
        out.into_owned()
    }

    /// Runs a script of shell, which must succeed; `$1` is this device, and `$minor` its minor.
    pub(crate) fn shell(&self, script: &str) {
        let output = Command::new("sh")
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .env("minor", self.minor.to_string())
            .args(["-c", script, "sh"])
            .arg(self.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        std::fs::File::open(self.path()).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    pub(crate) fn write<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) {
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        for write in writes {
            assert!(write.offset() + write.length() <= self.size, "within the device");
            assert!(write.offset().is_multiple_of(4096) && write.length().is_multiple_of(4096));
            match write {
                Write::Data { offset, bytes } => file.write_all_at(bytes, *offset).unwrap(),
                Write::Zeroes { offset, length } => {
                    file.write_all_at(&vec![0; usize::try_from(*length).unwrap()], *offset).unwrap();
                }
            }
        }
    }

    pub(crate) fn superblock(&self, layout: &Layout) -> Superblock {
        Superblock::decode(&self.read(layout.superblock_at(), 4096), self.size).unwrap()
    }

    pub(crate) fn write_superblock(&self, superblock: &Superblock) {
        let offset = superblock.layout().superblock_at();
        self.write(&[Write::Data { offset, bytes: superblock.encode() }]);
    }

    pub(crate) fn bitmap(&self, layout: &Layout) -> Bitmap {
        Bitmap::from_bytes(layout, self.read(layout.bitmap_at(), layout.bitmap_bytes())).unwrap()
    }

    pub(crate) fn log(&self, layout: &Layout) -> Vec<u8> {
        self.read(layout.log_at(), layout.log_bytes())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for left in [
            format!("/var/lib/drbd/drbd-minor-{}.lkbd", self.minor),
            format!("/run/lock/drbd-147-{}", self.minor),
            format!("/run/drbd/drbd-147-{}", self.minor),
        ] {
            // Whichever of them this version makes.
            let _ = std::fs::remove_file(left);
        }
    }
}
