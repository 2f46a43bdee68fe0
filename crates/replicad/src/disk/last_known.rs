//! Where a device's metadata was when the device was used last.
//!
//! Internal metadata lies at the end of its device. A device that has been enlarged since has it somewhere in the middle, and
//! whoever looks at the end takes it for blank. So the size of the device is put on record whenever its metadata is read or
//! moved, in a file outside the device; what is not found at the end is looked for where the record says.
//!
//! In: the record's file, a device. Out: its superblock. The record alone proves nothing: only a whole superblock in that place,
//! made for a device of that size, counts, and metadata that moves leaves none behind.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use drbd_meta::{BLOCK_BYTES, Layout, Superblock};
use serde::{Deserialize, Serialize};

use super::metadata::{Image, MetadataError};
use super::store::Store;

/// Version of the record.
const VERSION: u32 = 1;

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}, which says how large the disk was when it was used last")]
pub struct RecordError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// What the record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The device, as the volume's file names it.
    disk: PathBuf,
    /// Its size, at whose end the metadata was.
    bytes: u64,
}

/// The record of one volume's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastKnown {
    file: PathBuf,
}

impl LastKnown {
    /// The one in this file, which need not exist.
    #[must_use]
    pub const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> RecordError {
        let path = self.file.clone();
        move |source| RecordError { what, path, source }
    }

    /// How large this device was; `None` where that is not on record.
    ///
    /// # Errors
    /// The record cannot be read, or is not one.
    pub fn bytes(&self, disk: &Path) -> Result<Option<u64>, RecordError> {
        let text = match std::fs::read(&self.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(self.failed("read"))?,
        };
        let record: Record =
            serde_json::from_slice(&text).map_err(|error| self.failed("understand")(error.into()))?;
        Ok((record.version == VERSION && record.disk == disk).then_some(record.bytes))
    }

    /// Puts on record that the metadata of this device is at the end of so many bytes.
    ///
    /// # Errors
    /// It cannot be written; what was on record is unchanged.
    pub fn note(&self, disk: &Path, bytes: u64) -> Result<(), RecordError> {
        if self.bytes(disk).is_ok_and(|known| known == Some(bytes)) {
            return Ok(());
        }
        let record = Record { version: VERSION, disk: disk.to_owned(), bytes };
        let mut text = serde_json::to_vec(&record).map_err(|error| self.failed("write")(error.into()))?;
        text.push(b'\n');
        self.replace(&text).map_err(self.failed("write"))
    }

    fn replace(&self, text: &[u8]) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let new = self.file.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.file)?;
        std::fs::File::open(folder)?.sync_all()
    }

    /// The superblock of a device: at its end, or where it was last.
    ///
    /// # Errors
    /// There is none in either place.
    pub fn superblock(&self, store: &Store) -> Result<Superblock, MetadataError> {
        find(store.bytes(), self.bytes(store.path())?, |at| Ok(store.read(at, BLOCK_BYTES)?))
    }

    /// The metadata of a device that is going to be used, moved to its end if it was left behind; the place is on record then.
    ///
    /// # Errors
    /// As [`Image::read`]; or what was found cannot be moved, or put on record.
    pub fn open(
        &self,
        store: &Store,
        config: &replica::Config,
    ) -> Result<(Image, replica::metadata::Attached), MetadataError> {
        let superblock = self.superblock(store)?;
        let was = superblock.layout().device_bytes();
        let (mut image, attached) = Image::of(superblock, store, config)?;
        if was != store.bytes() {
            image.make_room(store)?;
        }
        self.note(store.path(), image.device_bytes())?;
        Ok((image, attached))
    }
}

/// Finds the superblock of a device of so many bytes that may have had another size before.
///
/// # Errors
/// There is none in either place, or it cannot be read.
pub fn find<E>(
    bytes: u64,
    last_known: Option<u64>,
    read: impl Fn(u64) -> Result<Vec<u8>, E>,
) -> Result<Superblock, E>
where
    E: From<drbd_meta::SuperblockError> + From<drbd_meta::LayoutError>,
{
    let at_end_of = |bytes| -> Result<Superblock, E> {
        // Where the superblock lies does not depend on the number of peers.
        let at = Layout::internal(bytes, 1)?.superblock_at();
        Ok(Superblock::decode(&read(at)?, bytes)?)
    };
    let here = at_end_of(bytes);
    match last_known.filter(|was| *was < bytes) {
        Some(was) if here.is_err() => at_end_of(was).or(here),
        _ => here,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

    use replica::{Config, NodeId};

    use super::super::metadata::create;
    use super::*;

    const SMALL: u64 = 64 << 20;
    const LARGE: u64 = 96 << 20;

    struct Disk {
        folder: tempfile::TempDir,
        known: LastKnown,
    }

    impl Disk {
        /// A device with metadata that was used once.
        fn used() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let known = LastKnown::new(folder.path().join("state/r0.disk"));
            let disk = Self { folder, known };
            std::fs::File::create(disk.path()).unwrap().set_len(SMALL).unwrap();
            create(&disk.store(), 1, false).unwrap();
            assert_eq!(disk.device_bytes().unwrap(), SMALL);
            disk
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("disk")
        }

        fn store(&self) -> Store {
            Store::open(&self.path()).unwrap()
        }

        fn resize(&self, bytes: u64) {
            std::fs::File::options().write(true).open(self.path()).unwrap().set_len(bytes).unwrap();
        }

        fn config() -> Config {
            let node = |id| NodeId::new(id).unwrap();
            Config::new(node(0), 1 << 20).with_peer(node(1), false)
        }

        /// Uses it, and tells at the end of how many bytes its metadata is then.
        fn device_bytes(&self) -> Result<u64, MetadataError> {
            self.known.open(&self.store(), &Self::config()).map(|(image, _)| image.device_bytes())
        }
    }

    #[test]
    fn a_device_that_was_enlarged_meanwhile_is_used_on_and_its_metadata_moves() {
        let disk = Disk::used();
        disk.resize(LARGE);
        let none = LastKnown::new(disk.folder.path().join("none"));
        assert!(none.open(&disk.store(), &Disk::config()).is_err(), "nothing at the end, nothing on record");
        let before = disk.known.superblock(&disk.store()).unwrap();
        assert_eq!(disk.device_bytes().unwrap(), LARGE);
        let after = none.superblock(&disk.store()).unwrap();
        assert_eq!(after.current_uuid, before.current_uuid);
        assert_eq!(
            super::super::volume_bytes(&after),
            super::super::volume_bytes(&before),
            "the volume is not larger yet"
        );
        assert_eq!(disk.known.bytes(&disk.path()).unwrap(), Some(LARGE));
        assert_eq!(disk.device_bytes().unwrap(), LARGE);
    }

    #[test]
    fn by_less_than_metadata_takes_it_stays_where_it_is_and_is_found() {
        let disk = Disk::used();
        disk.resize(SMALL + 4096);
        assert_eq!(disk.device_bytes().unwrap(), SMALL);
        assert_eq!(disk.device_bytes().unwrap(), SMALL, "and once more");
        disk.resize(LARGE);
        assert_eq!(disk.device_bytes().unwrap(), LARGE);
    }

    #[test]
    fn a_blank_device_is_not_taken_for_the_one_on_record() {
        let disk = Disk::used();
        disk.resize(0);
        disk.resize(LARGE);
        assert!(matches!(disk.device_bytes(), Err(MetadataError::Superblock(_))));
        let moved = Disk::used();
        moved.resize(LARGE);
        moved.device_bytes().unwrap();
        // What is at the end is lost: what is left in the old place must not be taken for it.
        let store = moved.store();
        store.write(LARGE - 4096, &[0; 4096]).unwrap();
        drop(store);
        moved.known.note(&moved.path(), SMALL).unwrap();
        assert!(matches!(moved.device_bytes(), Err(MetadataError::Superblock(_))));
    }

    #[test]
    fn the_record_is_of_one_device_and_a_damaged_one_is_told() {
        let disk = Disk::used();
        assert_eq!(disk.known.bytes(Path::new("/dev/other")).unwrap(), None);
        std::fs::write(&disk.known.file, "?").unwrap();
        let error = disk.known.bytes(&disk.path()).unwrap_err().to_string();
        assert!(error.contains("r0.disk"), "{error}");
        assert!(matches!(disk.device_bytes(), Err(MetadataError::Record(_))));
    }
}
