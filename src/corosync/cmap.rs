//! What the running corosync has loaded, held against the file.
//!
//! In: the output of `corosync-cmapctl` (the whole icmap, no arguments) and a [`CorosyncConf`]. Out: the differences.
//! After a reload that worked there are none; a key that a reload refused keeps its old value in cmap and shows up
//! here. What cmap cannot show are the few keys that a reload copies but the daemon ignores (`quorum.wait_for_all`
//! and its kind, `totem.link_mode`): for quorum, [`quorum_matches`] asks votequorum itself.

use std::collections::BTreeMap;

use super::conf::{CorosyncConf, NodeEntry, Transport};
use super::flat::{Flat, pair_nodes, settings};
use super::quorum::QuorumStatus;

/// Largest dump read, in bytes. A cluster of 16 nodes dumps about 100 kB.
const MAX_DUMP_BYTES: usize = 8 * 1024 * 1024;

/// Why a dump of cmap cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmapError {
    /// Larger than the limit.
    #[error("the output of corosync-cmapctl has {0} bytes, more than the {MAX_DUMP_BYTES} that are read")]
    TooLarge(usize),
    /// A line that is not `key (type) = value`.
    #[error("the output of corosync-cmapctl cannot be read at line {line}: `{text}`")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// The line's text.
        text: String,
    },
    /// No key of `totem.` in it.
    #[error("the output of corosync-cmapctl has no `totem.` key: this is not a dump of a running corosync")]
    NotCorosync,
}

/// The keys and values of a running corosync, values as printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cmap {
    /// Value by key.
    pub values: BTreeMap<String, String>,
}

impl Cmap {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(super) fn nodes(&self) -> Vec<NodeEntry> {
        let mut nodes: BTreeMap<u32, BTreeMap<&str, &str>> = BTreeMap::new();
        for (key, value) in &self.values {
            if let Some(rest) = key.strip_prefix("nodelist.node.")
                && let Some((position, name)) = rest.split_once('.')
                && let Ok(position) = position.parse()
            {
                nodes.entry(position).or_default().insert(name, value);
            }
        }
        let entry = |keys: &BTreeMap<&str, &str>| NodeEntry {
            name: keys.get("name").map(ToString::to_string),
            nodeid: keys.get("nodeid").and_then(|id| id.parse().ok()),
            addresses: keys
                .iter()
                .filter_map(|(key, value)| {
                    let link = key.strip_prefix("ring")?.strip_suffix("_addr")?;
                    Some((link.parse().ok()?, (*value).to_owned()))
                })
                .collect(),
            quorum_votes: keys.get("quorum_votes").and_then(|votes| votes.parse().ok()).unwrap_or(1),
        };
        nodes.values().map(entry).collect()
    }
}

/// One thing on which the file and the running daemon differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path, as in [`super::KeyChange`].
    pub path: String,
    /// What the file says; `None` when the key is not there.
    pub file: Option<String>,
    /// What is loaded; `None` when the key is not there.
    pub running: Option<String>,
}

/// Reads the output of `corosync-cmapctl` without arguments.
///
/// # Errors
/// When it is too large, or not such an output.
pub fn parse_cmap(text: &str) -> Result<Cmap, CmapError> {
    if text.len() > MAX_DUMP_BYTES {
        return Err(CmapError::TooLarge(text.len()));
    }
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let parsed = line.split_once(" (").and_then(|(key, rest)| {
            let (_, value) = rest.split_once(')')?;
            // An empty string prints as " = "; a binary value prints as nothing at all.
            Some((key.to_owned(), value.strip_prefix(" =").unwrap_or(value).trim_start().to_owned()))
        });
        let (key, value) =
            parsed.ok_or_else(|| CmapError::Malformed { line: index + 1, text: line.to_owned() })?;
        values.insert(key, value);
    }
    if !values.keys().any(|key| key.starts_with("totem.")) {
        return Err(CmapError::NotCorosync);
    }
    Ok(Cmap { values })
}

/// Where the running corosync does not have what the file says, sorted by path. `totem.key` is never shown.
#[must_use]
pub fn running_matches(conf: &CorosyncConf, cmap: &Cmap) -> Vec<Difference> {
    let mut found = Vec::new();
    let file = settings(conf);
    let running = loaded_settings(cmap, conf.transport());
    for (path, wanted) in &file {
        if !is_loaded(path) {
            continue;
        }
        let actual = running.get(path).or_else(|| case_insensitive(&running, path));
        if !actual.is_some_and(|actual| same(wanted, actual)) {
            found.push(difference(path, Some(wanted), actual));
        }
    }
    for (path, actual) in &running {
        if is_loaded(path)
            && !is_daemons_own(path)
            && !file.contains_key(path)
            && case_insensitive(&file, path).is_none()
        {
            found.push(difference(path, None, Some(actual)));
        }
    }
    nodes(&conf.nodes(), &cmap.nodes(), &mut found);
    token(conf, cmap, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn difference(path: &str, file: Option<&String>, running: Option<&String>) -> Difference {
    let shown = |value: Option<&String>| {
        value.map(|value| if path == "totem.key" { "(secret)".to_owned() } else { value.clone() })
    };
    Difference { path: path.to_owned(), file: shown(file), running: shown(running) }
}

/// The keys that come from the file, without those that corosync adds itself.
pub(super) fn loaded_settings(cmap: &Cmap, transport: Transport) -> Flat {
    let own = |path: &str| {
        let link_key = path.strip_prefix("totem.interface.").and_then(|rest| rest.split_once('.'));
        match link_key {
            // Derived from the node list, or the default port (`config_convert_nodelist_to_interface()`).
            Some((_, "bindnetaddr")) => transport != Transport::Udp,
            Some((_, "mcastaddr" | "mcastport")) => transport != Transport::Knet,
            _ => {
                path == "quorum.cancel_wait_for_all"
                    || (path.starts_with("logging.logger_subsys.") && path.ends_with(".subsys"))
            }
        }
    };
    cmap.values
        .iter()
        .filter(|(path, _)| is_loaded(path) && !own(path))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect()
}

/// Whether a path is one that corosync keeps in cmap as it stands in the file.
pub(super) fn is_loaded(path: &str) -> bool {
    ["totem.", "quorum.", "logging.", "system.", "nozzle.", "resources.watchdog", "uidgid.config."]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// Keys that corosync sets itself when the file does not (cmap_keys(8)).
fn is_daemons_own(path: &str) -> bool {
    path == "resources.watchdog_timeout"
}

/// Subsystem names are stored in upper case.
fn case_insensitive<'a>(flat: &'a Flat, path: &str) -> Option<&'a String> {
    if !path.starts_with("logging.logger_subsys.") {
        return None;
    }
    flat.iter().find(|(key, _)| key.eq_ignore_ascii_case(path)).map(|(_, value)| value)
}

fn same(file: &str, running: &str) -> bool {
    if file == running {
        return true;
    }
    // Numbers are stored as numbers: `010` is read as C does, but `10` and `+10` are the same.
    matches!((file.parse::<u64>(), running.parse::<u64>()), (Ok(a), Ok(b)) if a == b)
}

fn nodes(file: &[NodeEntry], running: &[NodeEntry], found: &mut Vec<Difference>) {
    let ids = |node: &NodeEntry| node.nodeid.map(|id| id.to_string());
    for pair in pair_nodes(running, file) {
        match pair {
            (Some(actual), Some(wanted)) => {
                let path = |key: &str| format!("nodelist.node.{}.{key}", wanted.label());
                let mut push = |key: &str, file: Option<String>, running: Option<String>| {
                    if file != running {
                        found.push(Difference { path: path(key), file, running });
                    }
                };
                push("name", wanted.name.clone(), actual.name.clone());
                if wanted.nodeid.is_some() {
                    push("nodeid", ids(wanted), ids(actual));
                }
                let votes = |node: &NodeEntry| Some(node.quorum_votes.to_string());
                push("quorum_votes", votes(wanted), votes(actual));
                for link in 0..super::conf::MAX_LINKS {
                    let address = |node: &NodeEntry| node.addresses.get(&link).cloned();
                    push(&format!("ring{link}_addr"), address(wanted), address(actual));
                }
            }
            (None, Some(wanted)) => found.push(Difference {
                path: format!("nodelist.node.{}", wanted.label()),
                file: Some(wanted.addresses.values().cloned().collect::<Vec<_>>().join(", ")),
                running: None,
            }),
            (Some(actual), None) => found.push(Difference {
                path: format!("nodelist.node.{}", actual.label()),
                file: None,
                running: Some(actual.addresses.values().cloned().collect::<Vec<_>>().join(", ")),
            }),
            (None, None) => {}
        }
    }
}

fn token(conf: &CorosyncConf, cmap: &Cmap, found: &mut Vec<Difference>) {
    let path = "runtime.config.totem.token";
    if let Some(running) = cmap.get(path)
        && running.parse() != Ok(conf.effective_token_ms())
    {
        found.push(Difference {
            path: path.to_owned(),
            file: Some(conf.effective_token_ms().to_string()),
            running: Some(running.to_owned()),
        });
    }
}

/// Where votequorum's flags are not those that the file asks for: what a reload cannot change and cmap cannot show.
#[must_use]
pub fn quorum_matches(conf: &CorosyncConf, status: &QuorumStatus) -> Vec<Difference> {
    let quorum = conf.quorum();
    // votequorum switches two_node off while more than two nodes are present or a device is registered.
    let two_node = quorum.two_node && quorum.device.is_none() && conf.node_sections().count() == 2;
    [
        ("quorum.two_node", "2Node", two_node),
        ("quorum.wait_for_all", "WaitForAll", quorum.wait_for_all),
        ("quorum.last_man_standing", "LastManStanding", quorum.last_man_standing),
        ("quorum.auto_tie_breaker", "AutoTieBreaker", quorum.auto_tie_breaker),
    ]
    .into_iter()
    .filter(|(_, flag, wanted)| status.has_flag(flag) != *wanted)
    .map(|(path, flag, wanted)| Difference {
        path: path.to_owned(),
        file: Some(u8::from(wanted).to_string()),
        running: Some(u8::from(status.has_flag(flag)).to_string()),
    })
    .collect()
}
