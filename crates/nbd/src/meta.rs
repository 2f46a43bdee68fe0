//! Metadata contexts: which of them a client's queries mean. There is one, `base:allocation`.

use crate::options;
use crate::wire::Fields;

/// The context that there is.
pub(crate) const ALLOCATION: &str = "base:allocation";
/// Its number in replies. Any number would do.
pub(crate) const ALLOCATION_ID: u32 = 1;
/// Everything in the namespace `base:`; means something to `LIST_META_CONTEXT` only.
const ALL_BASE: &[u8] = b"base:";
/// Longest query in bytes (strings of the protocol).
const MAX_QUERY_BYTES: usize = 4096;

/// The data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
pub(crate) struct MetaRequest<'a> {
    pub(crate) name: &'a str,
    queries: Vec<&'a [u8]>,
}

impl<'a> MetaRequest<'a> {
    /// `None` when the data is malformed. Queries take at least 4 bytes each, so that their number is bounded by that
    /// of the option's data.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(data);
        let name = options::name(fields.counted()?)?;
        let count = fields.u32()?;
        let mut queries = Vec::new();
        for _ in 0..count {
            let query = fields.counted()?;
            if query.len() > MAX_QUERY_BYTES || std::str::from_utf8(query).is_err() {
                return None;
            }
            queries.push(query);
        }
        fields.0.is_empty().then_some(Self { name, queries })
    }

    /// Whether a listing is to name `base:allocation`: no query means all there is.
    pub(crate) fn lists_allocation(&self) -> bool {
        self.queries.is_empty() || self.queries.contains(&ALL_BASE) || self.selects_allocation()
    }

    /// Whether `base:allocation` is selected.
    pub(crate) fn selects_allocation(&self) -> bool {
        self.queries.contains(&ALLOCATION.as_bytes())
    }
}
