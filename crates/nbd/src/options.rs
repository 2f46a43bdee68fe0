//! Replies to options, and the data of `INFO` and `GO`.

use crate::export::{Export, MAX_NAME_BYTES};
use crate::wire::{Fields, OPTION_REPLY_MAGIC, info, put16, put32, put64, rep};

/// One option's replies on their way out.
pub(crate) struct OptionReply<'a> {
    pub(crate) option: u32,
    pub(crate) out: &'a mut Vec<u8>,
}

impl OptionReply<'_> {
    /// One reply, its data written by `data`.
    pub(crate) fn with(&mut self, kind: u32, data: impl FnOnce(&mut Vec<u8>)) {
        put64(self.out, OPTION_REPLY_MAGIC);
        put32(self.out, self.option);
        put32(self.out, kind);
        let at = self.out.len();
        put32(self.out, 0);
        data(self.out);
        // A reply's data is a name, a description or an error text and a few fields: far below 2^32 bytes.
        let length = u32::try_from(self.out.len() - at - 4).unwrap_or(u32::MAX);
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(crate) fn ack(&mut self) {
        self.with(rep::ACK, |_| {});
    }

    pub(crate) fn error(&mut self, kind: u32, message: &str) {
        self.with(kind, |out| out.extend_from_slice(message.as_bytes()));
    }

    /// An export in a `LIST`.
    pub(crate) fn server(&mut self, name: &str, export: &Export) {
        self.with(rep::SERVER, |out| {
            put_counted(out, name);
            out.extend_from_slice(export.description().as_bytes());
        });
    }

    /// What `INFO` and `GO` tell of an export. The block sizes are told to all clients: those that do not know them
    /// ignore them.
    pub(crate) fn infos(&mut self, wanted: &InfoRequest<'_>, name: &str, export: &Export, structured: bool) {
        self.with(rep::INFO, |out| {
            put16(out, info::EXPORT);
            put64(out, export.size());
            put16(out, export.flags(structured));
        });
        self.with(rep::INFO, |out| {
            let blocks = export.blocks();
            put16(out, info::BLOCK_SIZE);
            for size in [blocks.minimum(), blocks.preferred(), blocks.maximum()] {
                put32(out, size);
            }
        });
        if wanted.asks_for(info::NAME) {
            self.with(rep::INFO, |out| {
                put16(out, info::NAME);
                out.extend_from_slice(name.as_bytes());
            });
        }
        if wanted.asks_for(info::DESCRIPTION) && !export.description().is_empty() {
            self.with(rep::INFO, |out| {
                put16(out, info::DESCRIPTION);
                out.extend_from_slice(export.description().as_bytes());
            });
        }
    }
}

/// The data of `INFO` and `GO`.
pub(crate) struct InfoRequest<'a> {
    pub(crate) name: &'a str,
    kinds: &'a [u8],
}

impl<'a> InfoRequest<'a> {
    /// `None` when the data is malformed.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(data);
        let name = name(fields.counted()?)?;
        let count = usize::from(fields.u16()?);
        let kinds = fields.bytes(count * 2)?;
        fields.0.is_empty().then_some(Self { name, kinds })
    }

    pub(crate) fn asks_for(&self, kind: u16) -> bool {
        self.kinds.chunks_exact(2).any(|bytes| bytes == kind.to_be_bytes())
    }
}

/// The name of an export, or `None` when no export can have such a name.
pub(crate) fn name(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?;
    (name.len() <= MAX_NAME_BYTES && !name.contains('\0')).then_some(name)
}

pub(crate) fn put_counted(out: &mut Vec<u8>, text: &str) {
    // Names have at most `MAX_NAME_BYTES`.
    put32(out, u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(text.as_bytes());
}
