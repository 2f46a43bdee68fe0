//! What is exported: size, block sizes, features, and the names under which exports are found.
//!
//! What exists is valid: limits and relations between the values are checked when they are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wire::flag;

/// Longest name of an export in bytes (`doc/proto.md`, "Values": strings).
pub const MAX_NAME_BYTES: usize = 4096;
/// Longest description of an export in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 4096;
/// Most exports of one server. Bounds what a `LIST` makes the server send.
pub const MAX_EXPORTS: usize = 1024;
/// Largest minimum block size in bytes.
const MAX_MINIMUM: u32 = 1 << 16;
/// Smallest preferred block size in bytes.
const MIN_PREFERRED: u32 = 1 << 9;
/// Smallest maximum block size in bytes: reads up to this must be answered in one piece.
const MIN_MAXIMUM: u32 = 1 << 16;
/// Largest maximum block size in bytes: what clients use without asking.
const MAX_MAXIMUM: u32 = 1 << 25;

/// Why an export cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The minimum block size is not acceptable.
    #[error("the minimum block size of {0} bytes is not a power of two between 1 and {MAX_MINIMUM}")]
    Minimum(u32),
    /// The preferred block size is not acceptable.
    #[error(
        "the preferred block size of {0} bytes is not a power of two, at least {MIN_PREFERRED} and the minimum"
    )]
    Preferred(u32),
    /// The maximum block size is not acceptable.
    #[error(
        "the maximum block size of {0} bytes is not a multiple of the minimum and between {MIN_MAXIMUM} (and the \
         preferred) and {MAX_MAXIMUM}"
    )]
    Maximum(u32),
    /// The end of the export could not be addressed.
    #[error("the size of {size} bytes is not a multiple of the minimum block size of {minimum}")]
    Size {
        /// The size in bytes.
        size: u64,
        /// The minimum block size in bytes.
        minimum: u32,
    },
    /// Sizes are signed in many clients.
    #[error("the size of {0} bytes is more than 2^63 - 1")]
    TooLarge(u64),
    /// A name that cannot be sent.
    #[error("the export's name has {0} bytes, more than {MAX_NAME_BYTES}, or holds a NUL")]
    Name(usize),
    /// A description that cannot be sent.
    #[error("the export's description has {0} bytes, more than {MAX_DESCRIPTION_BYTES}, or holds a NUL")]
    Description(usize),
    /// Two exports with one name.
    #[error("there are two exports called {0:?}")]
    Twice(String),
    /// More than [`MAX_EXPORTS`].
    #[error("there are {0} exports, more than {MAX_EXPORTS}")]
    TooMany(usize),
    /// The default names an export that is not there.
    #[error("the default export {0:?} does not exist")]
    NoDefault(String),
}

/// Sizes and alignments that requests must keep to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSizes {
    minimum: u32,
    preferred: u32,
    maximum: u32,
}

impl BlockSizes {
    /// Checked block sizes: `minimum` is the alignment of offsets and lengths, `preferred` what is efficient, `maximum`
    /// the most data in one read or write.
    ///
    /// # Errors
    /// When they are not as the protocol wants them.
    pub const fn new(minimum: u32, preferred: u32, maximum: u32) -> Result<Self, ExportError> {
        if !minimum.is_power_of_two() || minimum > MAX_MINIMUM {
            return Err(ExportError::Minimum(minimum));
        }
        if !preferred.is_power_of_two() || preferred < MIN_PREFERRED || preferred < minimum {
            return Err(ExportError::Preferred(preferred));
        }
        if maximum < MIN_MAXIMUM
            || maximum < preferred
            || maximum > MAX_MAXIMUM
            || !maximum.is_multiple_of(minimum)
        {
            return Err(ExportError::Maximum(maximum));
        }
        Ok(Self { minimum, preferred, maximum })
    }

    /// Alignment and smallest length of requests.
    #[must_use]
    pub const fn minimum(self) -> u32 {
        self.minimum
    }

    /// What requests should be multiples of.
    #[must_use]
    pub const fn preferred(self) -> u32 {
        self.preferred
    }

    /// The most data of one read or write.
    #[must_use]
    pub const fn maximum(self) -> u32 {
        self.maximum
    }
}

impl Default for BlockSizes {
    /// Any byte may be addressed; 4 KiB is preferred; at most 32 MiB at once.
    fn default() -> Self {
        Self { minimum: 1, preferred: 1 << 12, maximum: MAX_MAXIMUM }
    }
}

/// What the server can do for an export. Commands of features that are off are refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Writes are refused.
    pub read_only: bool,
    /// `FLUSH`.
    pub flush: bool,
    /// The flag `FUA`.
    pub fua: bool,
    /// Seeks are slow.
    pub rotational: bool,
    /// `TRIM`.
    pub trim: bool,
    /// `WRITE_ZEROES`.
    pub write_zeroes: bool,
    /// The flag `FAST_ZERO` of `WRITE_ZEROES`; nothing without the latter.
    pub fast_zero: bool,
    /// `CACHE`.
    pub cache: bool,
    /// A flush on one connection covers what all connections wrote.
    pub multi_conn: bool,
    /// The metadata context `base:allocation`.
    pub allocation: bool,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    size: u64,
    blocks: BlockSizes,
    features: Features,
    description: String,
    tls_only: bool,
    insist_on_blocks: bool,
}

impl Export {
    /// An export of `size` bytes.
    ///
    /// # Errors
    /// When the size is not a multiple of the minimum block size, or too large for clients.
    pub fn new(size: u64, blocks: BlockSizes, features: Features) -> Result<Self, ExportError> {
        if i64::try_from(size).is_err() {
            return Err(ExportError::TooLarge(size));
        }
        if !size.is_multiple_of(u64::from(blocks.minimum)) {
            return Err(ExportError::Size { size, minimum: blocks.minimum });
        }
        Ok(Self {
            size,
            blocks,
            features,
            description: String::new(),
            tls_only: false,
            insist_on_blocks: false,
        })
    }

    /// The same with a description for people.
    ///
    /// # Errors
    /// When it is too long or holds a NUL.
    pub fn described(self, description: impl Into<String>) -> Result<Self, ExportError> {
        let description = description.into();
        if description.len() > MAX_DESCRIPTION_BYTES || description.contains('\0') {
            return Err(ExportError::Description(description.len()));
        }
        Ok(Self { description, ..self })
    }

    /// The same, to be seen and opened only over TLS.
    #[must_use]
    pub fn tls_only(self) -> Self {
        Self { tls_only: true, ..self }
    }

    /// The same, refusing clients that do not ask for block sizes. Without, they are let in, and those of their requests
    /// that are not aligned are refused one by one.
    #[must_use]
    pub fn insisting_on_block_sizes(self) -> Self {
        Self { insist_on_blocks: true, ..self }
    }

    /// The same with another size.
    pub(crate) fn resized(&self, size: u64) -> Result<Self, ExportError> {
        let checked = Self::new(size, self.blocks, self.features)?;
        Ok(Self { size: checked.size, ..self.clone() })
    }

    /// The size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Alignments and limits.
    #[must_use]
    pub const fn blocks(&self) -> BlockSizes {
        self.blocks
    }

    /// What can be done with it.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// The description for people, often empty.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    pub(crate) const fn is_tls_only(&self) -> bool {
        self.tls_only
    }

    pub(crate) const fn insists_on_blocks(&self) -> bool {
        self.insist_on_blocks
    }

    /// The transmission flags.
    pub(crate) fn flags(&self, structured: bool) -> u16 {
        let has = &self.features;
        let writable = !has.read_only;
        [
            (flag::READ_ONLY, has.read_only),
            (flag::SEND_FLUSH, has.flush),
            (flag::SEND_FUA, has.fua),
            (flag::ROTATIONAL, has.rotational),
            (flag::SEND_TRIM, has.trim && writable),
            (flag::SEND_WRITE_ZEROES, has.write_zeroes && writable),
            (flag::SEND_DF, structured),
            (flag::CAN_MULTI_CONN, has.multi_conn),
            (flag::SEND_CACHE, has.cache),
            (flag::SEND_FAST_ZERO, has.fast_zero && has.write_zeroes && writable),
        ]
        .iter()
        .fold(flag::HAS_FLAGS, |flags, (bit, set)| if *set { flags | bit } else { flags })
    }
}

/// All exports of a server by name, shared by its sessions.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    by_name: Arc<BTreeMap<String, Export>>,
    default: Option<String>,
}

impl Exports {
    /// The given exports.
    ///
    /// # Errors
    /// When there are too many, or a name is too long, holds a NUL, or occurs twice.
    pub fn new(exports: impl IntoIterator<Item = (String, Export)>) -> Result<Self, ExportError> {
        let mut by_name = BTreeMap::new();
        for (name, export) in exports {
            if name.len() > MAX_NAME_BYTES || name.contains('\0') {
                return Err(ExportError::Name(name.len()));
            }
            if by_name.contains_key(&name) {
                return Err(ExportError::Twice(name));
            }
            by_name.insert(name, export);
        }
        if by_name.len() > MAX_EXPORTS {
            return Err(ExportError::TooMany(by_name.len()));
        }
        Ok(Self { by_name: Arc::new(by_name), default: None })
    }

    /// The same, with the export that a client gets who names none.
    ///
    /// # Errors
    /// When there is no export of that name.
    pub fn with_default(self, name: impl Into<String>) -> Result<Self, ExportError> {
        let name = name.into();
        if !self.by_name.contains_key(&name) {
            return Err(ExportError::NoDefault(name));
        }
        Ok(Self { default: Some(name), ..self })
    }

    /// The export of that name, and its name: they differ where the name is empty and stands for the default.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&str, &Export)> {
        let found =
            |name: &str| self.by_name.get_key_value(name).map(|(name, export)| (name.as_str(), export));
        found(name).or_else(|| self.default.as_deref().filter(|_| name.is_empty()).and_then(found))
    }

    /// All exports, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Export)> {
        self.by_name.iter().map(|(name, export)| (name.as_str(), export))
    }
}
