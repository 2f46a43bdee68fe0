//! What it takes to bring a running corosync to a file: to the one that is about to be written, or to the one that
//! already lies there, because a run was killed between writing it and having it read.
//!
//! In: the files, and what the daemon reports. Out: a [`Classification`]. Never looks at a node.

use super::classify::{ChangeClass, Classification, KeyChange, Links, classify, literal_addresses};
use super::cmap::{Cmap, Difference, is_loaded, loaded_settings, quorum_matches, running_matches};
use super::conf::{CorosyncConf, Transport};
use super::flat::settings;
use super::quorum::QuorumStatus;
use super::rules::{Context, Version, link_cut, rule};

/// Compares a file with what is loaded, and says what each difference needs.
#[must_use]
pub fn classify_running(
    conf: &CorosyncConf,
    cmap: &Cmap,
    quorum: Option<&QuorumStatus>,
    version: Version,
) -> Classification {
    let (running, wanted) = (cmap.nodes(), conf.nodes());
    let context =
        Context { transport: conf.transport(), version, literal_addresses: literal_addresses(&wanted) };
    let loaded = loaded_settings(cmap, context.transport);
    let links = Links::judge(&running, &wanted, &loaded, &settings(conf), context.transport);
    let mut differences = running_matches(conf, cmap);
    differences.extend(quorum.map(|status| quorum_matches(conf, status)).unwrap_or_default());
    let changes = differences.into_iter().map(|difference| key_change(difference, &links, context)).collect();
    classified(changes)
}

/// What one node needs to run with `new` where `old` lies now: what its corosync has not loaded, and what cannot be
/// seen from outside whether it has. A file that was changed but never loaded needs to be written, and no more.
#[must_use]
pub fn classify_on_node(
    old: Option<&CorosyncConf>,
    new: &CorosyncConf,
    cmap: &Cmap,
    quorum: Option<&QuorumStatus>,
    version: Version,
) -> Classification {
    let mut changes = classify_running(new, cmap, quorum, version).changes;
    let unseen = |change: &KeyChange| !is_loaded(&change.path) && !change.path.starts_with("nodelist.");
    changes.extend(old.map(|old| classify(old, new, version).changes).into_iter().flatten().filter(unseen));
    classified(changes)
}

fn classified(mut changes: Vec<KeyChange>) -> Classification {
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let class = changes.iter().map(|change| change.class).max().unwrap_or(ChangeClass::None);
    Classification { class, changes }
}

fn key_change(difference: Difference, links: &Links, context: Context) -> KeyChange {
    let Difference { path, file, running } = difference;
    let both = file.is_some() && running.is_some();
    let (class, why) = if let Some(rest) = path.strip_prefix("nodelist.") {
        node_key(rest, both, links)
    } else if let Some((link, key)) =
        path.strip_prefix("totem.interface.").and_then(|rest| rest.split_once('.'))
    {
        match key {
            _ if links.comes_or_goes(link) => LINKS_RELOADED,
            "knet_transport" | "mcastport" if context.transport == Transport::Knet => {
                link_cut(links.one_stays())
            }
            _ => rule(&path, context),
        }
    } else if path.starts_with("runtime.") {
        (ChangeClass::Reload, "timeouts are worked out again on reload")
    } else {
        rule(&path, context)
    };
    KeyChange { path, old: running, new: file, class, why }
}

const LINKS_RELOADED: (ChangeClass, &str) = (ChangeClass::Reload, "links are added and removed on reload");

/// A key of a node, `node.NAME.KEY`, or a whole node.
fn node_key(path: &str, both: bool, links: &Links) -> (ChangeClass, &'static str) {
    match path.rsplit('.').next() {
        Some("nodeid") if both => (ChangeClass::FullStop, "a node's id is its identity in the cluster"),
        Some("name") if both => (ChangeClass::FullStop, "Pacemaker knows the node id by its old name"),
        Some(key) if key.starts_with("ring") && key.ends_with("_addr") => match links.one_stays() {
            false => link_cut(false),
            true if both => link_cut(true),
            true => LINKS_RELOADED,
        },
        _ => (ChangeClass::Reload, "nodes are read again on reload"),
    }
}
