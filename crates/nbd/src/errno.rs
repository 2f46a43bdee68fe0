//! The error numbers that may stand in a reply.

use std::fmt;

/// Why a request failed, in the numbers of the protocol (which are those of Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Errno {
    /// Operation not permitted: a write to a read-only export.
    Perm = 1,
    /// Input/output error.
    Io = 5,
    /// Cannot allocate memory.
    NoMem = 12,
    /// Invalid argument: a request the protocol or the export's limits do not allow.
    Inval = 22,
    /// No space left: a write beyond the end, or on a full backing store.
    NoSpc = 28,
    /// The reply would be too large to be sent unfragmented.
    Overflow = 75,
    /// Not supported: zeroes cannot be written faster than data.
    NotSup = 95,
    /// The server is going down; the client should disconnect.
    Shutdown = 108,
}

impl Errno {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The number for an error of the operating system. `EROFS` is `Perm`, `EDQUOT` and `EFBIG` are `NoSpc`, as the
    /// protocol asks; what it has no number for is `Io`.
    #[must_use]
    pub const fn from_os(errno: i32) -> Self {
        match errno {
            1 | 30 => Self::Perm,
            12 => Self::NoMem,
            22 => Self::Inval,
            27 | 28 | 122 => Self::NoSpc,
            75 => Self::Overflow,
            95 => Self::NotSup,
            108 => Self::Shutdown,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Perm => "EPERM",
            Self::Io => "EIO",
            Self::NoMem => "ENOMEM",
            Self::Inval => "EINVAL",
            Self::NoSpc => "ENOSPC",
            Self::Overflow => "EOVERFLOW",
            Self::NotSup => "ENOTSUP",
            Self::Shutdown => "ESHUTDOWN",
        })
    }
}
