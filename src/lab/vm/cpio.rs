//! Archives that the kernel unpacks into its first root file system (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! In: files. Out: bytes in the format "newc". Pure.

/// What the last entry is called.
const TRAILER: &str = "TRAILER!!!";
/// Every header, name and content begins at a multiple of this.
const ALIGNMENT_BYTES: usize = 4;
/// File type of a regular file (`S_IFREG`, inode(7)).
const REGULAR: u32 = 0o100_000;
/// File type of a directory (`S_IFDIR`, inode(7)).
const DIRECTORY: u32 = 0o040_000;

/// An archive that grows.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a directory. Those above it must be there.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, &[]);
    }

    /// Adds a file. Its directory must be there.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, REGULAR | mode, content);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // A file of 4 GiB or more would not fit into memory here; the kernel would refuse the length.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_bytes = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        let links = if mode & DIRECTORY == 0 { 1 } else { 2 };
        // inode, mode, owner, group, links, time, size, device (2), special device (2), length of the name, checksum
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_bytes, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        align(&mut self.bytes);
        self.bytes.extend_from_slice(content);
        align(&mut self.bytes);
    }
}

/// Fills up with zeros to where an archive may begin.
pub(crate) fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT_BYTES), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_where_the_kernel_looks_for_them() {
        let mut archive = Archive::new();
        archive.directory("node");
        archive.file("node/a", 0o640, b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let starts: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|start| start % 4 == 0), "{starts:?}");
        let second = &text[starts[1]..];
        assert_eq!(&second[14..22], "000081a0", "mode");
        assert_eq!(&second[54..62], "00000005", "size");
        assert_eq!(&second[94..102], "00000007", "length of the name with its final zero");
        assert_eq!(&second[110..116], "node/a");
        assert_eq!(&second[120..125], "hello");
        assert!(text.trim_end_matches('\0').ends_with(TRAILER));
    }
}
