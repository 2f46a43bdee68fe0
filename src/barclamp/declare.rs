//! What the barclamps of a cluster declare, as a whole: the engine's one function.
//!
//! First everything is expanded, then the cluster's data is gathered from the inventory and from all barclamps, then
//! everything is rendered (the CIB and `corosync.conf` see the gathered data) and put into order.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use serde_json::Value;

use super::bundle::parse_mode;
use super::checks::DeclaredCheck;
use super::cib_context;
use super::claims;
use super::cluster_data::ClusterData;
use super::context::nodes_on;
use super::declaration::{CibDeclaration, CorosyncDeclaration, Declaration};
use super::error::BarclampError;
use super::expand::{Instance, instances};
use super::fencing::Fencing;
use super::item::{Boot, FileItem, Kind, PackagesItem, Reread, Run, SecretItem, UnitItem};
use super::links::Links;
use super::order::in_use;
use super::registry::Registry;
use super::seeded;
use super::view::ClusterView;
use super::volumes;
use crate::names::NodeName;
use crate::plan::UnitVerb;
use crate::resource::{
    BootState, HostsBlock, HostsEntry, KernelModule, ManagedFile, OwnProgram, Packages, ResourceId, RunState,
    SharedSecret, Sysctl, Unit,
};

/// What the barclamps in use declare for a cluster: each declaration after those that it requires.
///
/// # Errors
/// Everything that is wrong: barclamps that are missing, templates that cannot be rendered, ids that clash.
pub fn declare(registry: &Registry, cluster: &ClusterView) -> Result<Vec<Declaration>, Vec<BarclampError>> {
    let barclamps = in_use(registry, cluster)?;
    let mut all: Vec<Instance<'_>> = Vec::new();
    let mut errors = Vec::new();
    for barclamp in &barclamps {
        match instances(barclamp, cluster) {
            Ok(more) => all.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let data = gather(&all, cluster)?;
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, instance) in all.iter().enumerate() {
        match draft(index, instance, cluster, &data) {
            Ok(more) => drafts.extend(more),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    check_unique(&drafts, &all, &mut errors);
    check_reads(&drafts, &all, &mut errors);
    if !data.is_empty() && !drafts.iter().any(|draft| matches!(draft.declaration, Declaration::Cib(_))) {
        errors.push(no_manager(cluster));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let links = Links::new(&all, &drafts);
    let mut declarations: Vec<Declaration> = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        declarations.push(connect(draft, &all, &links));
    }
    sorted(declarations, cluster).map_err(|error| vec![error])
}

/// What the barclamps in use assert of a cluster.
///
/// # Errors
/// Barclamps that are missing, texts that cannot be rendered.
pub fn checks(registry: &Registry, cluster: &ClusterView) -> Result<Vec<DeclaredCheck>, Vec<BarclampError>> {
    let mut checks = Vec::new();
    let mut errors = Vec::new();
    for barclamp in in_use(registry, cluster)? {
        for check in &barclamp.checks {
            match super::expand::checks_of(barclamp, check, cluster) {
                Ok(more) => checks.extend(more),
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(checks) } else { Err(errors) }
}

/// A declaration whose `requires` is still to be worked out.
pub(super) struct Draft {
    /// Which instance it is of.
    pub(super) instance: usize,
    /// What it is.
    pub(super) declaration: Declaration,
}

fn no_manager(cluster: &ClusterView) -> BarclampError {
    BarclampError::NoManager { cluster: cluster.name.clone() }
}

/// Resources and constraints of the inventory and of all barclamps.
fn gather(all: &[Instance<'_>], cluster: &ClusterView) -> Result<ClusterData, Vec<BarclampError>> {
    let mut data = ClusterData::of_inventory(cluster);
    let mut errors = Vec::new();
    for instance in all {
        let added = match &instance.item.kind {
            Kind::Cluster(item) => data.add(instance, item),
            Kind::Fencing => {
                fencing(instance, cluster).and_then(|fencing| data.add_fencing(instance, fencing))
            }
            _ => Ok(()),
        };
        errors.extend(added.err().into_iter().flatten());
    }
    if errors.is_empty() {
        let wrong = data.check();
        let cib = all.iter().find(|instance| matches!(instance.item.kind, Kind::Cib(_)));
        errors.extend(wrong.into_iter().filter_map(|message| cib.map(|cib| cib.error(message))));
    }
    if errors.is_empty() { Ok(data) } else { Err(errors) }
}

fn fencing(instance: &Instance<'_>, cluster: &ClusterView) -> Result<Fencing, Vec<BarclampError>> {
    let name = &instance.barclamp.manifest.name;
    let attributes = cluster.barclamps.get(name).unwrap_or(&Value::Null);
    Fencing::of(attributes, &instance.barclamp.agents, cluster).map_err(|errors| {
        errors.into_iter().map(|error| BarclampError::Attribute { name: name.clone(), error }).collect()
    })
}

/// The declarations of one instance, without what they require.
fn draft(
    index: usize,
    instance: &Instance<'_>,
    cluster: &ClusterView,
    data: &ClusterData,
) -> Result<Vec<Draft>, BarclampError> {
    let single = |declaration| Ok(vec![Draft { instance: index, declaration }]);
    let Some(node) = instance.node.map(|node| node.name.clone()) else {
        return of_cluster(instance, cluster, data).map(|declarations| {
            declarations.into_iter().map(|declaration| Draft { instance: index, declaration }).collect()
        });
    };
    let none = Vec::new;
    match &instance.item.kind {
        Kind::Packages(item) => single(Declaration::Packages(packages(instance, item, node)?)),
        Kind::File(item) => single(Declaration::File(file(instance, item, node)?)),
        Kind::Unit(item) => single(Declaration::Unit(unit(instance, item, node)?)),
        Kind::Hosts => single(Declaration::Hosts(hosts(node, cluster))),
        Kind::Module(item) => {
            let module = instance.text(&item.name)?;
            let id = ResourceId::on_node("module", &module, &node);
            single(Declaration::Module(KernelModule { id, requires: none(), node, module }))
        }
        Kind::Program(item) => {
            let path = absolute(instance, &item.path)?;
            let id = ResourceId::on_node("program", path.as_str(), &node);
            single(Declaration::Program(OwnProgram { id, requires: none(), node, path }))
        }
        Kind::Sysctl(item) => {
            let (key, value) = (instance.text(&item.key)?, instance.text(&item.value)?);
            let id = ResourceId::on_node("sysctl", &key, &node);
            single(Declaration::Sysctl(Sysctl { id, requires: none(), node, key, value }))
        }
        Kind::Claim(item) => single(Declaration::Claim(claims::claim(instance, item, node, cluster)?)),
        Kind::Filesystem(item) => {
            single(Declaration::Filesystem(claims::filesystem(instance, item, node, cluster)?))
        }
        Kind::Secret(_)
        | Kind::Fencing
        | Kind::Cluster(_)
        | Kind::Corosync(_)
        | Kind::Cib(_)
        | Kind::SbdHeader(_)
        | Kind::Volume(_)
        | Kind::SeededDirectory(_) => Ok(Vec::new()),
    }
}

fn of_cluster(
    instance: &Instance<'_>,
    cluster: &ClusterView,
    data: &ClusterData,
) -> Result<Vec<Declaration>, BarclampError> {
    let requires = Vec::new();
    match &instance.item.kind {
        Kind::Secret(item) => secret(instance, item, cluster),
        Kind::Corosync(item) => {
            let path = absolute(instance, &item.path)?;
            Ok(vec![Declaration::Corosync(CorosyncDeclaration {
                id: ResourceId::of_cluster("corosync", path.as_str(), &cluster.name),
                requires,
                cluster: cluster.name.clone(),
                nodes: cluster.node_names(),
                path,
                content: instance.template(&item.template, None)?,
            })])
        }
        Kind::Cib(item) => {
            let cib = cib_context::cib(cluster, data);
            Ok(vec![Declaration::Cib(CibDeclaration {
                id: ResourceId::of_cluster("cib", "configuration", &cluster.name),
                requires,
                cluster: cluster.name.clone(),
                nodes: cluster.node_names(),
                founder: cluster.founder.clone(),
                xml: instance.template(&item.template, Some(("cib", &cib)))?,
            })])
        }
        Kind::SbdHeader(item) => {
            Ok(vec![Declaration::SbdHeader(claims::sbd_header(instance, item, cluster)?)])
        }
        Kind::SeededDirectory(item) => seeded::declared(instance, item, cluster),
        Kind::Volume(item) => {
            Ok(vec![Declaration::Volume(Box::new(volumes::volume(instance, item, cluster)?))])
        }
        Kind::Fencing => Ok((data.fencing.packages.iter())
            .filter(|(_, names)| !names.is_empty())
            .map(|(node, names)| {
                Declaration::Packages(Packages {
                    id: package_id(instance, node),
                    requires: Vec::new(),
                    node: node.clone(),
                    names: names.clone(),
                    keep_stopped: BTreeSet::new(),
                    available_now: false,
                })
            })
            .collect()),
        _ => Ok(Vec::new()),
    }
}

/// A secret file on the nodes that the item is for, made on the founder where that is one of them.
fn secret(
    instance: &Instance<'_>,
    item: &SecretItem,
    cluster: &ClusterView,
) -> Result<Vec<Declaration>, BarclampError> {
    let path = absolute(instance, &item.path)?;
    let on = nodes_on(instance.barclamp, cluster, &instance.item.on);
    let nodes: BTreeSet<NodeName> = on.into_iter().map(|node| node.name.clone()).collect();
    let first = nodes.first().cloned();
    let founder = if nodes.contains(&cluster.founder) { Some(cluster.founder.clone()) } else { first };
    let Some(founder) = founder else { return Ok(Vec::new()) };
    Ok(vec![Declaration::Secret(SharedSecret {
        id: ResourceId::of_cluster("secret", path.as_str(), &cluster.name),
        requires: Vec::new(),
        founder,
        nodes,
        path,
        size_bytes: item.size_bytes,
        text: item.text.clone(),
        used_by: instance.text(&item.used_by)?,
    })])
}

fn package_id(instance: &Instance<'_>, node: &NodeName) -> ResourceId {
    let key = instance.key.as_ref().map(|key| format!("-{key}")).unwrap_or_default();
    let name = format!("{}/{}{key}", instance.barclamp.manifest.name, instance.item.id);
    ResourceId::on_node("packages", &name, node)
}

fn packages(instance: &Instance<'_>, item: &PackagesItem, node: NodeName) -> Result<Packages, BarclampError> {
    let distro = instance.node.map(|node| node.distro);
    let names = distro.and_then(|distro| item.names.get(distro)).cloned().unwrap_or_default();
    let id = package_id(instance, &node);
    let names = instance.texts(&names)?.into_iter().collect();
    let keep_stopped = instance.texts(&item.keep_stopped)?.into_iter().collect();
    Ok(Packages { id, requires: Vec::new(), node, names, keep_stopped, available_now: false })
}

fn file(instance: &Instance<'_>, item: &FileItem, node: NodeName) -> Result<ManagedFile, BarclampError> {
    let path = absolute(instance, &item.path)?;
    let mode = instance.text(&item.mode)?;
    let mode = parse_mode(&mode).ok_or_else(|| instance.error(format!("`{mode}` is not a mode")))?;
    Ok(ManagedFile {
        id: ResourceId::on_node("file", path.as_str(), &node),
        requires: Vec::new(),
        node,
        content: content(instance, item)?,
        mode,
        owner: instance.text(&item.owner)?,
        group: instance.text(&item.group)?,
        validate: item.validate.as_ref().map(|argv| instance.texts(argv)).transpose()?,
        path,
    })
}

/// The content of a file; what the barclamp's template made of the inventory's may be a template itself.
fn content(instance: &Instance<'_>, item: &FileItem) -> Result<String, BarclampError> {
    let text = instance.template(&item.template, None)?;
    match &item.render {
        Some(render) if instance.text(render)? == "true" => instance.foreign(&text),
        _ => Ok(text),
    }
}

/// The unit; what it reads and who holds it are added with the links.
fn unit(instance: &Instance<'_>, item: &UnitItem, node: NodeName) -> Result<Unit, BarclampError> {
    let name = instance.text(&item.name)?;
    // Only what it reads is a matter of this item: another one may say whether it runs.
    let kind = if item.boot == Boot::Any && item.run == Run::Any { "reread" } else { "unit" };
    Ok(Unit {
        id: ResourceId::on_node(kind, &name, &node),
        requires: Vec::new(),
        node,
        unit: name,
        boot: match item.boot {
            Boot::Enabled => BootState::Enabled,
            Boot::Disabled => BootState::Disabled,
            Boot::Never => BootState::Never,
            Boot::Any => BootState::Any,
        },
        run: match item.run {
            Run::Running => RunState::Running,
            Run::Stopped => RunState::Stopped,
            Run::Any => RunState::Any,
        },
        held_by: None,
        reads: Vec::new(),
        reread: match item.reread {
            Reread::Reload => UnitVerb::Reload,
            Reread::Restart => UnitVerb::Restart,
        },
    })
}

/// Every node by its name, at the address of link 0.
fn hosts(node: NodeName, cluster: &ClusterView) -> HostsBlock {
    let entry = |other: &super::view::NodeView| {
        let full = other.name.to_string();
        let short = full.split_once('.').map(|(short, _)| short.to_owned());
        let names = std::iter::once(full).chain(short).collect();
        other.links.first().map(|address| HostsEntry { address: *address, names })
    };
    HostsBlock {
        id: ResourceId::on_node("hosts", cluster.name.as_str(), &node),
        requires: Vec::new(),
        node,
        cluster: cluster.name.clone(),
        entries: cluster.nodes.iter().filter_map(entry).collect(),
    }
}

fn absolute(instance: &Instance<'_>, path: &str) -> Result<Utf8PathBuf, BarclampError> {
    let path = Utf8PathBuf::from(instance.text(path)?);
    let plain = path.components().all(|part| part.as_str() != "..");
    if path.is_absolute() && plain && !path.as_str().chars().any(char::is_control) {
        Ok(path)
    } else {
        Err(instance.error(format!("`{path}` is not an absolute path")))
    }
}

/// Units that read files that nobody declares.
fn check_reads(drafts: &[Draft], all: &[Instance<'_>], errors: &mut Vec<BarclampError>) {
    for draft in drafts {
        let instance = &all[draft.instance];
        let (Declaration::Unit(unit), Kind::Unit(item)) = (&draft.declaration, &instance.item.kind) else {
            continue;
        };
        let Some(paths) = &item.reads_paths else { continue };
        let declared = |path: &&str| {
            drafts.iter().any(|other| match &other.declaration {
                Declaration::File(file) => file.node == unit.node && file.path == **path,
                _ => false,
            })
        };
        match instance.text(paths) {
            Err(error) => errors.push(error),
            Ok(paths) => errors.extend(
                paths
                    .split_whitespace()
                    .filter(|path| !declared(path))
                    .map(|path| instance.error(format!("{} reads {path}, which is not declared", unit.unit))),
            ),
        }
    }
}

/// Two declarations of one thing.
fn check_unique(drafts: &[Draft], all: &[Instance<'_>], errors: &mut Vec<BarclampError>) {
    let mut seen: std::collections::BTreeMap<&ResourceId, usize> = std::collections::BTreeMap::new();
    for draft in drafts {
        if let Some(first) = seen.insert(draft.declaration.id(), draft.instance) {
            let other = &all[first];
            let message = format!(
                "{} is declared by {}/{} already",
                draft.declaration.id(),
                other.barclamp.manifest.name,
                other.item.id
            );
            errors.push(all[draft.instance].error(message));
        }
    }
}

/// The declaration with everything that must come first.
fn connect(draft: &Draft, all: &[Instance<'_>], links: &Links<'_>) -> Declaration {
    let mut declaration = draft.declaration.clone();
    let instance = &all[draft.instance];
    let mut requires: BTreeSet<ResourceId> = links.after(instance, declaration.node());
    match &mut declaration {
        Declaration::Unit(unit) => {
            unit.held_by = links.holder(&unit.unit, &unit.node);
            requires.extend(unit.held_by.clone());
            if let Kind::Unit(item) = &instance.item.kind {
                unit.reads = links.files(instance, &item.reads, &unit.node);
                if let Some(paths) = &item.reads_paths {
                    // Rendered without fault by `check_reads`.
                    let paths = instance.text(paths).unwrap_or_default();
                    unit.reads.extend(links.files_at(&paths, &unit.node));
                }
                requires.extend(unit.reads.iter().map(|(_, id)| id.clone()));
            }
        }
        Declaration::Cib(_) => requires.extend(links.behind_cluster_data()),
        _ => {}
    }
    requires.remove(declaration.id());
    let requires: Vec<ResourceId> = requires.into_iter().collect();
    match &mut declaration {
        Declaration::Packages(it) => it.requires = requires,
        Declaration::File(it) => it.requires = requires,
        Declaration::Unit(it) => it.requires = requires,
        Declaration::Hosts(it) => it.requires = requires,
        Declaration::Secret(it) => it.requires = requires,
        Declaration::Module(it) => it.requires = requires,
        Declaration::Program(it) => it.requires = requires,
        Declaration::Sysctl(it) => it.requires = requires,
        Declaration::Corosync(it) => it.requires = requires,
        Declaration::Cib(it) => it.requires = requires,
        Declaration::Claim(it) => it.requires = requires,
        Declaration::Filesystem(it) => it.requires = requires,
        Declaration::SbdHeader(it) => it.requires = requires,
        Declaration::Volume(it) => it.requires = requires,
        Declaration::SeededDirectory(it) => it.requires = requires,
    }
    declaration
}

/// Always the first one all of whose requirements stand before it.
fn sorted(declarations: Vec<Declaration>, cluster: &ClusterView) -> Result<Vec<Declaration>, BarclampError> {
    let mut sorted: Vec<Declaration> = Vec::with_capacity(declarations.len());
    let mut done: BTreeSet<ResourceId> = BTreeSet::new();
    let mut rest = declarations;
    while !rest.is_empty() {
        let (ready, waiting): (Vec<Declaration>, Vec<Declaration>) = rest
            .into_iter()
            .partition(|declaration| declaration.requires().iter().all(|id| done.contains(id)));
        if ready.is_empty() {
            let ids: Vec<&str> = waiting.iter().map(|declaration| declaration.id().as_str()).collect();
            return Err(BarclampError::Order { cluster: cluster.name.clone(), ids: ids.join(", ") });
        }
        done.extend(ready.iter().map(|declaration| declaration.id().clone()));
        sorted.extend(ready);
        rest = waiting;
    }
    Ok(sorted)
}
