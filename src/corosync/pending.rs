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

#[cfg(test)]
mod tests {
    use super::super::parse_cmap;
    use super::*;

    const CONF: &str = include_str!("../../tests/fixtures/corosync/three-nodes.conf");
    const CMAP: &str = include_str!("../../tests/fixtures/corosync/three-nodes.cmap");
    const V31: Version = Version::new(3, 1, 7);

    /// What a node needs that runs with the fixture, where `old` lies, to run with `new`.
    fn needed(old: &str, new: &str) -> Classification {
        let conf = |text: &str| CorosyncConf::parse(text).unwrap();
        classify_on_node(Some(&conf(old)), &conf(new), &parse_cmap(CMAP).unwrap(), None, V31)
    }

    fn with(from: &str, to: &str) -> String {
        assert!(CONF.contains(from), "{from}");
        CONF.replace(from, to)
    }

    #[test]
    fn a_file_that_was_edited_and_never_loaded_needs_nothing_but_writing() {
        for (from, to) in [
            ("cluster_name: lab", "cluster_name: other"),
            ("10.0.1.2", "10.9.9.9"),
            ("token: 5000", "token: 1"),
        ] {
            let needed = needed(&with(from, to), CONF);
            assert_eq!(
                (needed.class, needed.changes.as_slice()),
                (ChangeClass::None, [].as_slice()),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn a_killed_rollout_leaves_the_same_need_as_before_it_wrote_the_file() {
        let cases = [
            ("token: 5000", "token: 6000", ChangeClass::Reload),
            ("10.0.1.2", "10.0.1.22", ChangeClass::RollingRestart),
            ("cluster_name: lab", "cluster_name: other", ChangeClass::FullStop),
        ];
        for (from, to, class) in cases {
            let new = with(from, to);
            assert_eq!(needed(CONF, &new).class, class, "{from} -> {to}, not written yet");
            assert_eq!(needed(&new, &new).class, class, "{from} -> {to}, written");
        }
    }

    #[test]
    fn what_cannot_be_seen_in_what_runs_is_judged_by_the_file() {
        let old = format!("{CONF}\naisexec {{\n    user: root\n}}\n");
        assert_eq!(needed(&old, CONF).class, ChangeClass::FullStop);
    }
}
