//! `drbd.conf` and `*.res`: read, written, and brought up to date.
//!
//! In: the text of a file. Out: its tree ([`DrbdConf`]), which is written back without losing anything, and typed values
//! read from it and turned into it ([`Resource`]). Both generations are covered, 8.4 and 9; files of 8.0 to 8.3 are
//! rewritten by [`DrbdConf::modernised`]. Never opens a file (`include` is listed, not followed) and never runs a command.

mod conf;
mod known;
mod lex;
mod model;
mod modernise;
mod observed;
mod options;
mod parse;
mod read;
mod status;
mod tree;
mod word;
mod write;

pub use conf::{Common, DrbdConf};
pub use known::{SectionName, unknown_option};
pub use model::{
    Address, Connection, Device, Endpoint, Family, Host, HostKind, Mesh, MetaDisk, ModelError, Resource,
    Volume,
};
pub use modernise::{Generation, Modernised};
pub use observed::{Head, Observed};
pub use options::{Options, Sections};
pub use parse::{MAX_CONF_BYTES, MAX_DEPTH, ParseError, ParseErrorKind};
pub use status::{Generations, VolumeStatus, parse_proc_drbd, parse_replica_status, parse_status_json};
pub use tree::{Entry, Section, Statement};
pub use word::{MAX_BARE_BYTES, MAX_QUOTED_BYTES, Word, WordError};

#[cfg(test)]
mod tests;
