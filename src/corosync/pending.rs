//! What it takes to bring a running corosync to the file that already lies there: a run that was killed between
//! writing the file and reloading leaves this to the next one.
//!
//! In: the file, and what the daemon reports. Out: a [`Classification`]. Never looks at a node.

use std::net::IpAddr;

use super::classify::{ChangeClass, Classification, KeyChange};
use super::cmap::{Cmap, Difference, quorum_matches, running_matches};
use super::conf::CorosyncConf;
use super::quorum::QuorumStatus;
use super::rules::{Context, Version, rule};

/// Compares the file with what is loaded, and says what each difference needs.
#[must_use]
pub fn classify_running(
    conf: &CorosyncConf,
    cmap: &Cmap,
    quorum: Option<&QuorumStatus>,
    version: Version,
) -> Classification {
    let literal_addresses = conf
        .nodes()
        .iter()
        .flat_map(|node| node.addresses.values())
        .all(|addr| addr.parse::<IpAddr>().is_ok());
    let context = Context { transport: conf.transport(), version, literal_addresses };
    let mut differences = running_matches(conf, cmap);
    differences.extend(quorum.map(|status| quorum_matches(conf, status)).unwrap_or_default());
    let mut changes: Vec<KeyChange> =
        differences.into_iter().map(|difference| key_change(difference, context)).collect();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let class = changes.iter().map(|change| change.class).max().unwrap_or(ChangeClass::None);
    Classification { class, changes }
}

fn key_change(difference: Difference, context: Context) -> KeyChange {
    let Difference { path, file, running } = difference;
    let (class, why) = if path.starts_with("nodelist.") || path.starts_with("totem.interface.") {
        (ChangeClass::Reload, "nodes and links are read again on reload")
    } else if path.starts_with("runtime.") {
        (ChangeClass::Reload, "timeouts are worked out again on reload")
    } else {
        rule(&path, context)
    };
    KeyChange { path, old: running, new: file, class, why }
}
