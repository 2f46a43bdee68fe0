//! What is compared: the file itself, the engine in its variants, and QEMU's storage daemon.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::disks::Disks;
use crate::engine::{self, Link, Node, Pair};
use crate::fio::Target;
use crate::qemu::{self, Daemon};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Raw,
    Twice,
    Alone,
    Replicated(Link),
    QemuLocal,
    QemuQuorum,
}

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    /// What it is called in the results and on the command line.
    pub(crate) key: &'static str,
    /// What it is called.
    pub(crate) name: &'static str,
    kind: Kind,
}

const fn replicated(key: &'static str, name: &'static str, protocol: char, encrypted: bool) -> Side {
    Side { key, name, kind: Kind::Replicated(Link { protocol, encrypted }) }
}

/// The file itself.
pub(crate) const RAW: Side = Side { key: "raw", name: "the file, io_uring", kind: Kind::Raw };
/// What is left of it when every block is written to two files: all that can be had where both copies are on one disk.
pub(crate) const TWICE: Side = Side { key: "twice", name: "two files at once, io_uring", kind: Kind::Twice };
/// The default of the engine.
pub(crate) const C: Side = replicated("c", "engine, protocol C", 'C', true);
/// The same without encryption.
pub(crate) const C_PLAIN: Side = replicated("c-plain", "engine, C, unprotected", 'C', false);
/// What the engine is measured by.
pub(crate) const QEMU: Side = Side { key: "qemu", name: "QEMU, local", kind: Kind::QemuLocal };
/// QEMU doing the same as the engine.
pub(crate) const QUORUM: Side = Side { key: "quorum", name: "QEMU, quorum", kind: Kind::QemuQuorum };

/// All of them.
pub(crate) const SIDES: [Side; 11] = [
    RAW,
    TWICE,
    QEMU,
    QUORUM,
    Side { key: "alone", name: "engine, no peer", kind: Kind::Alone },
    C,
    C_PLAIN,
    replicated("b", "engine, protocol B", 'B', true),
    replicated("b-plain", "engine, B, unprotected", 'B', false),
    replicated("a", "engine, protocol A", 'A', true),
    replicated("a-plain", "engine, A, unprotected", 'A', false),
];

impl Side {
    /// The one that is called so.
    pub(crate) fn by_key(key: &str) -> Option<Self> {
        SIDES.into_iter().find(|side| side.key == key)
    }

    /// How its two nodes are connected, where there are two.
    pub(crate) fn link(self) -> Option<Link> {
        match self.kind {
            Kind::Replicated(link) => Some(link),
            _ => None,
        }
    }

    /// Starts what serves it.
    pub(crate) fn start(self, disks: &Disks) -> Result<Running> {
        Ok(match self.kind {
            Kind::Raw => Running::Raw(Target::Files(vec![disks.file("plain")?])),
            Kind::Twice => Running::Raw(Target::Files(vec![disks.file("plain")?, disks.file("remote")?])),
            Kind::Alone => {
                let node = engine::alone(disks)?;
                Running::Alone(Target::Nbd(node.uri()), node)
            }
            Kind::Replicated(link) => {
                let pair = Pair::start(disks, link)?;
                Running::Pair(Target::Nbd(pair.writer.uri()), pair)
            }
            Kind::QemuLocal => {
                let daemon = qemu::local(disks)?;
                Running::Qemu(Target::Nbd(daemon.uri()), daemon)
            }
            Kind::QemuQuorum => {
                let daemon = qemu::quorum(disks)?;
                Running::Qemu(Target::Nbd(daemon.uri()), daemon)
            }
        })
    }
}

/// A side that can be written to.
pub(crate) enum Running {
    Raw(Target),
    Alone(Target, Node),
    Pair(Target, Pair),
    Qemu(Target, Daemon),
}

impl Running {
    /// Where fio writes to.
    pub(crate) fn target(&self) -> &Target {
        match self {
            Self::Raw(target) | Self::Alone(target, _) | Self::Pair(target, _) | Self::Qemu(target, _) => {
                target
            }
        }
    }

    /// Seconds of processor time used so far, by process.
    pub(crate) fn processor_seconds(&self) -> Result<BTreeMap<&'static str, f64>> {
        let mut used = BTreeMap::new();
        match self {
            Self::Raw(_) => {}
            Self::Alone(_, node) => {
                used.insert("server", node.process.processor_seconds()?);
            }
            Self::Pair(_, pair) => {
                used.insert("server", pair.writer.process.processor_seconds()?);
                used.insert("peer", pair.peer.process.processor_seconds()?);
            }
            Self::Qemu(_, daemon) => {
                used.insert("server", daemon.process.processor_seconds()?);
                if let Some(behind) = &daemon.behind {
                    used.insert("peer", behind.processor_seconds()?);
                }
            }
        }
        Ok(used)
    }

    /// The most memory that any of its processes ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let processes = match self {
            Self::Raw(_) => vec![],
            Self::Alone(_, node) => vec![&node.process],
            Self::Pair(_, pair) => vec![&pair.writer.process, &pair.peer.process],
            Self::Qemu(_, daemon) => [&daemon.process].into_iter().chain(&daemon.behind).collect(),
        };
        let peaks: Vec<u64> =
            processes.into_iter().map(crate::process::Process::peak_memory).collect::<Result<_>>()?;
        Ok(peaks.into_iter().max().unwrap_or(0))
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<()> {
        match self {
            Self::Raw(_) => Ok(()),
            Self::Alone(_, node) => node.process.end(),
            Self::Pair(_, pair) => pair.end(),
            Self::Qemu(_, daemon) => {
                daemon.process.end()?;
                daemon.behind.map_or(Ok(()), crate::process::Process::end)
            }
        }
    }
}
