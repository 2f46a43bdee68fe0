//! Golden tests: `tests/<case>/` of a barclamp holds a cluster and what must come out of it.
//!
//! In: `cluster.yml` (in the inventory's words, with the attributes of the other barclamps in use), `attributes.yml`
//! (of this barclamp). Out: `expected/`: the files by node, the CIB, the list of declarations, the checks; or the
//! errors. Secrets stand in it as `(secret NAME)`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::Value;

use super::bundle::Barclamp;
pub use super::bundle::TESTS_FOLDER;
use super::checks::{DeclaredCheck, Expect};
use super::claims::claim_requests;
use super::declaration::Declaration;
use super::declare::{checks, declare};
use super::error::{AttributeError, BarclampError};
use super::registry::Registry;
use super::view::{ClusterView, NodeView};
use crate::claims::Claims;
use crate::distro::Distro;
use crate::drbd::Generation;
use crate::inventory::{Setting, decode_constraints, decode_resources};
use crate::names::{BarclampName, ClusterName, NodeName, RoleName};

/// The files of a case.
const CLUSTER_FILE: &str = "cluster.yml";
const ATTRIBUTES_FILE: &str = "attributes.yml";
/// The folder of the files that a case's attributes name (`local_file`).
const LOCAL_FOLDER: &str = "local";
/// The folder of what must come out.
pub const EXPECTED_FOLDER: &str = "expected";
/// What replaces the begin and the end of a secret's marker in what is written down.
const SECRET_BEGIN: &str = "(secret ";
const SECRET_END: &str = ")";

/// `cluster.yml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    name: ClusterName,
    nodes: Vec<NodeFile>,
    #[serde(default)]
    founder: Option<NodeName>,
    #[serde(default)]
    barclamps: BTreeMap<BarclampName, Value>,
    #[serde(default)]
    resources: Value,
    #[serde(default)]
    constraints: Value,
    #[serde(default)]
    resource_defaults: BTreeMap<String, String>,
    #[serde(default)]
    operation_defaults: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    name: NodeName,
    links: Vec<std::net::IpAddr>,
    #[serde(default)]
    nodeid: Option<u32>,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    roles: BTreeSet<RoleName>,
    #[serde(default)]
    distro: Option<Distro>,
    #[serde(default)]
    drbd: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    utilization: BTreeMap<String, i64>,
}

/// What came out of a case, as the files of its `expected/`.
pub type GoldenOutcome = BTreeMap<Utf8PathBuf, String>;

/// One golden test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenCase {
    /// Its folder's name.
    pub name: String,
    /// What must come out.
    pub expected: GoldenOutcome,
    /// What came out.
    pub actual: GoldenOutcome,
}

impl GoldenCase {
    /// Whether it is as it must be.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.expected == self.actual
    }

    /// The files that differ, each with its difference; missing and surplus ones included.
    #[must_use]
    pub fn differences(&self) -> Vec<(Utf8PathBuf, String)> {
        let paths: BTreeSet<&Utf8PathBuf> = self.expected.keys().chain(self.actual.keys()).collect();
        let text =
            |outcome: &GoldenOutcome, path: &Utf8PathBuf| outcome.get(path).cloned().unwrap_or_default();
        let pairs =
            paths.into_iter().map(|path| (path, text(&self.expected, path), text(&self.actual, path)));
        pairs
            .filter(|(path, _, _)| self.expected.get(*path) != self.actual.get(*path))
            .map(|(path, old, new)| {
                let diff =
                    similar::TextDiff::from_lines(&old, &new).unified_diff().context_radius(2).to_string();
                (path.clone(), diff)
            })
            .collect()
    }
}

/// Runs the golden tests of a barclamp of this registry.
///
/// # Errors
/// A case itself cannot be read. That its outcome differs is no error but in the result.
pub fn run_golden(registry: &Registry, name: &BarclampName) -> Result<Vec<GoldenCase>, Vec<BarclampError>> {
    let barclamp = registry.get(name.as_str()).map_err(|error| vec![error])?;
    let mut cases: BTreeMap<String, GoldenOutcome> = BTreeMap::new();
    for (path, text) in barclamp.folder.below(TESTS_FOLDER) {
        let mut parts = path.components();
        let Some(case) = parts.next() else { continue };
        let inside = parts.as_path();
        let expected = cases.entry(case.as_str().to_owned()).or_default();
        if let Ok(file) = inside.strip_prefix(EXPECTED_FOLDER) {
            expected.insert(file.to_owned(), text.to_owned());
        } else if ![CLUSTER_FILE, ATTRIBUTES_FILE].contains(&inside.as_str())
            && !inside.starts_with(LOCAL_FOLDER)
        {
            let message = format!(
                "a golden test has {CLUSTER_FILE}, {ATTRIBUTES_FILE}, {LOCAL_FOLDER}/ and {EXPECTED_FOLDER}/"
            );
            return Err(vec![barclamp.folder.error(&format!("{TESTS_FOLDER}/{path}"), None, message)]);
        }
    }
    let mut done = Vec::new();
    for (case, expected) in cases {
        let actual = outcome(registry, barclamp, &case)?;
        done.push(GoldenCase { name: case, expected, actual });
    }
    Ok(done)
}

/// What comes out of a case.
fn outcome(
    registry: &Registry,
    barclamp: &Barclamp,
    case: &str,
) -> Result<GoldenOutcome, Vec<BarclampError>> {
    let file = |name: &str| format!("{TESTS_FOLDER}/{case}/{name}");
    let written: ClusterFile = barclamp.folder.yaml(&file(CLUSTER_FILE)).map_err(|error| vec![error])?;
    let own: Value = barclamp.folder.yaml_if_any(&file(ATTRIBUTES_FILE)).map_err(|error| vec![error])?;
    let place = file(CLUSTER_FILE);
    let wrong = |message: String| vec![barclamp.folder.error(&place, None, message)];
    let mut attributes = written.barclamps.clone();
    attributes.insert(barclamp.manifest.name.clone(), own);
    let mut view = view_of(written).map_err(wrong)?;
    let local = |path: &str| barclamp.folder.text(&file(path)).map(str::to_owned);
    let result = resolve(registry, attributes, &mut view, &local)
        .and_then(|()| {
            view.claims = Claims::placeholders(&view.name, &claim_requests(registry, &view)?);
            declare(registry, &view)
        })
        .and_then(|declarations| Ok((declarations, checks(registry, &view)?)));
    Ok(match result {
        Ok((declarations, checks)) => written_down(&declarations, &checks),
        Err(errors) => {
            let text = errors.iter().fold(String::new(), |text, error| format!("{text}{error}\n"));
            GoldenOutcome::from([(Utf8PathBuf::from("errors.txt"), readable(&text))])
        }
    })
}

fn resolve(
    registry: &Registry,
    attributes: BTreeMap<BarclampName, Value>,
    view: &mut ClusterView,
    local: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Vec<BarclampError>> {
    let mut errors = Vec::new();
    for (name, attributes) in attributes {
        match registry.resolve(&name, &attributes, &format!("/{name}")) {
            Ok(resolved) => {
                let mut value = resolved.value;
                for (pointer, path) in registry.local_files(&name, &value) {
                    match (local(&path), value.pointer_mut(&pointer)) {
                        (Some(text), Some(place)) => *place = Value::String(text),
                        _ => errors.push(BarclampError::Attribute {
                            name: name.clone(),
                            error: AttributeError::new(
                                "local-file",
                                pointer,
                                format!("there is no file {path}"),
                            ),
                        }),
                    }
                }
                view.barclamps.insert(name, value);
            }
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn view_of(written: ClusterFile) -> Result<ClusterView, String> {
    let words = |problems: Vec<crate::inventory::Diagnostic>| {
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
    };
    let resources = decode_resources(&written.resources).map_err(words)?;
    let constraints = decode_constraints(&written.constraints, &resources).map_err(words)?;
    let settings = |map: BTreeMap<String, String>| {
        map.into_iter().map(|(name, text)| (name, Setting::Text(text))).collect()
    };
    let nodes: Vec<NodeView> = (1_u32..)
        .zip(written.nodes)
        .map(|(position, node)| NodeView {
            address: node
                .address
                .unwrap_or_else(|| node.links.first().map(ToString::to_string).unwrap_or_default()),
            name: node.name,
            nodeid: node.nodeid.unwrap_or(position),
            links: node.links,
            roles: node.roles,
            distro: node.distro.unwrap_or(Distro::ASSUMED),
            drbd: node.drbd.as_deref().map_or(Generation::ASSUMED, Generation::of),
            attributes: settings(node.attributes),
            utilization: node.utilization,
        })
        .collect();
    let first = nodes.first().map(|node| node.name.clone()).ok_or("there are no nodes")?;
    Ok(ClusterView {
        name: written.name,
        founder: written.founder.unwrap_or(first),
        nodes,
        barclamps: BTreeMap::new(),
        claims: Claims::default(),
        resources: resources.into_values().collect(),
        constraints,
        resource_defaults: settings(written.resource_defaults),
        operation_defaults: settings(written.operation_defaults),
    })
}

/// Text with the markers of secrets in plain characters.
fn readable(text: &str) -> String {
    text.replace('\u{E000}', SECRET_BEGIN).replace('\u{E001}', SECRET_END)
}

/// The outcome as files.
fn written_down(declarations: &[Declaration], checks: &[DeclaredCheck]) -> GoldenOutcome {
    let mut outcome = GoldenOutcome::new();
    let mut list = String::new();
    let nodes: BTreeSet<&NodeName> = declarations.iter().filter_map(Declaration::node).collect();
    let mut files: BTreeMap<&Utf8Path, BTreeMap<&NodeName, &str>> = BTreeMap::new();
    for declaration in declarations {
        describe(declaration, &mut list);
        match declaration {
            Declaration::File(file) => {
                files.entry(&file.path).or_default().insert(&file.node, &file.content);
            }
            Declaration::Corosync(conf) => {
                outcome.insert(below("all", &conf.path), readable(&conf.content));
            }
            Declaration::Cib(cib) => {
                outcome.insert("cib.xml".into(), readable(&cib.xml));
            }
            _ => {}
        }
    }
    for (path, by_node) in files {
        let distinct: BTreeSet<&str> = by_node.values().copied().collect();
        if let (1, Some(text), true) = (distinct.len(), distinct.first(), by_node.len() == nodes.len()) {
            outcome.insert(below("all", path), readable(text));
        } else {
            for (node, text) in by_node {
                outcome.insert(below(node.as_str(), path), readable(text));
            }
        }
    }
    outcome.insert("declarations.txt".into(), list);
    let mut text = String::new();
    checks.iter().for_each(|check| describe_check(check, &mut text));
    outcome.insert("checks.txt".into(), readable(&text));
    outcome
}

fn below(folder: &str, path: &Utf8Path) -> Utf8PathBuf {
    Utf8Path::new(folder).join(path.as_str().trim_start_matches('/'))
}

/// A declaration in a few lines: its id, what it says beside a text that is a file of its own, what comes first.
fn describe(declaration: &Declaration, out: &mut String) {
    let list = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let nodes =
        |values: &BTreeSet<NodeName>| values.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = Vec::new();
    match declaration {
        Declaration::Packages(it) => {
            lines.push(format!("names: {}", list(&it.names)));
            if !it.keep_stopped.is_empty() {
                lines.push(format!("keep stopped: {}", list(&it.keep_stopped)));
            }
        }
        Declaration::File(it) => {
            lines.push(format!("mode: {:04o} {}:{}", it.mode, it.owner, it.group));
            lines.extend(it.validate.as_ref().map(|argv| format!("validate: {}", argv.join(" "))));
        }
        Declaration::Unit(it) => {
            lines.push(format!("boot: {:?}, run: {:?}, reread: {}", it.boot, it.run, it.reread.word()));
            lines.extend(it.held_by.as_ref().map(|id| format!("held by: {id}")));
            lines.extend(it.reads.iter().map(|(path, _)| format!("reads: {path}")));
        }
        Declaration::Hosts(it) => {
            lines.extend(
                it.entries.iter().map(|entry| format!("entry: {} {}", entry.address, entry.names.join(" "))),
            );
        }
        Declaration::Secret(it) => {
            lines.push(format!("bytes: {}, founder: {}, used by: {}", it.size_bytes, it.founder, it.used_by));
            lines.push(format!("nodes: {}", nodes(&it.nodes)));
        }
        Declaration::Module(_) | Declaration::Program(_) => {}
        Declaration::Sysctl(it) => lines.push(format!("value: {}", it.value)),
        Declaration::Corosync(it) => lines.push(format!("nodes: {}", nodes(&it.nodes))),
        Declaration::Cib(it) => lines.push(format!("founder: {}, nodes: {}", it.founder, nodes(&it.nodes))),
        Declaration::Claim(it) => {
            lines.push(format!("claim: {}, purpose: {}", it.device.claim, it.device.purpose));
        }
        Declaration::Filesystem(it) => {
            lines.push(format!("{} on {}, UUID {}", it.fstype.word(), it.device.path, it.device.uuid));
        }
        Declaration::Volume(it) => {
            for (node, device) in &it.members {
                lines.push(format!("on {node}: {}", device.path));
            }
            lines.push(format!(
                "minor: {}, founder: {}, first sync: {:?}",
                it.volume.minor, it.founder, it.initial_sync
            ));
            lines.extend(
                it.filesystem.as_ref().map(|(kind, uuid)| format!("{} on it, UUID {uuid}", kind.word())),
            );
        }
        Declaration::SeededDirectory(it) => {
            lines.push(format!("to: {}, on: {}, founder: {}", it.target(), nodes(&it.nodes), it.founder));
            lines.push(format!("device: {} ({})", it.source.device, it.source.fstype.word()));
            lines.push(format!("open: {}, close: {}", it.source.open.join(" "), it.source.close.join(" ")));
            lines.push(format!("mounted by: {}, stops: {}", it.resource, list(&it.units)));
        }
        Declaration::SbdHeader(it) => {
            lines.push(format!("on {}, written by {}", it.device.path, it.founder));
            lines.push(format!("watchdog {} s, msgwait {} s", it.watchdog_timeout_s, it.msgwait_timeout_s));
        }
    }
    lines.extend(declaration.requires().iter().map(|id| format!("after: {id}")));
    // Writing to a string does not fail.
    let _ = writeln!(out, "{}", declaration.id());
    lines.iter().for_each(|line| {
        let _ = writeln!(out, "  {}", readable(line));
    });
}

fn describe_check(check: &DeclaredCheck, out: &mut String) {
    let node = check.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let expect = match &check.expect {
        Expect::Quorum => "quorum".to_owned(),
        Expect::NodesOnline => "all nodes online".to_owned(),
        Expect::Fencing => "fencing ready".to_owned(),
        Expect::Replication { volumes } => {
            let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
            format!("{} connected and up to date", names.join(", "))
        }
        Expect::Running { resources } if resources.is_empty() => "all resources run".to_owned(),
        Expect::Running { resources } => format!("{} run", resources.join(", ")),
        Expect::Unit { name, active } => format!("{name} {}", if *active { "active" } else { "not active" }),
        Expect::Http { url, status, contains } => {
            let contains = contains.as_ref().map(|text| format!(" with `{text}`")).unwrap_or_default();
            format!("GET {url} gives {status}{contains}")
        }
        Expect::Tcp { address, port } => format!("{address} port {port} accepts connections"),
    };
    let _ = writeln!(out, "{}/{}{node}: {expect}", check.barclamp, check.id);
}
