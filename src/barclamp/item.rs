//! `resources.yml`: what a barclamp declares, in a closed vocabulary.
//!
//! In: the file. Out: typed items whose texts are still templates. What they mean for a cluster is worked out in
//! `expand`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::claim_items::{ClaimItem, FilesystemItem, ProgramItem, SbdHeaderItem, VolumeItem};
use super::error::BarclampError;
use super::folder::Folder;
use super::seeded::SeededDirectoryItem;
use super::templates::{condition, is_template};
use crate::distro::DistroTable;
use crate::names::RoleName;

/// The file of declarations.
pub(super) const RESOURCES_FILE: &str = "resources.yml";
/// Most items of one barclamp.
const MAX_ITEMS: usize = 200;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourcesFile {
    #[serde(default)]
    resources: Vec<ItemFile>,
}

/// An item as it is written: what is common to all kinds, and exactly one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemFile {
    id: Spanned<String>,
    #[serde(default)]
    on: Option<String>,
    #[serde(default)]
    for_each: Option<String>,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    packages: Option<PackagesItem>,
    #[serde(default)]
    file: Option<FileItem>,
    #[serde(default)]
    unit: Option<UnitItem>,
    #[serde(default)]
    hosts: Option<HostsItem>,
    #[serde(default)]
    secret: Option<SecretItem>,
    #[serde(default)]
    module: Option<ModuleItem>,
    #[serde(default)]
    sysctl: Option<SysctlItem>,
    #[serde(default)]
    program: Option<ProgramItem>,
    #[serde(default)]
    fencing: Option<FencingItem>,
    #[serde(default)]
    cluster: Option<ClusterItem>,
    #[serde(default)]
    corosync: Option<CorosyncItem>,
    #[serde(default)]
    cib: Option<CibItem>,
    #[serde(default)]
    claim: Option<ClaimItem>,
    #[serde(default)]
    filesystem: Option<FilesystemItem>,
    #[serde(default)]
    sbd_header: Option<SbdHeaderItem>,
    #[serde(default)]
    volume: Option<VolumeItem>,
    #[serde(default)]
    seeded_directory: Option<SeededDirectoryItem>,
}

/// One thing that a barclamp declares.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name inside the barclamp.
    pub id: String,
    /// The line it stands on.
    pub line: u64,
    /// Whether it stands in the family's folder.
    pub inherited: bool,
    /// Which nodes it is for.
    pub on: On,
    /// What it is repeated for.
    pub for_each: Option<ForEach>,
    /// An expression that must be true for it to be declared.
    pub when: Option<String>,
    /// Items that must come first: `item`, or `barclamp/item`.
    pub after: Vec<ItemRef>,
    /// What it is.
    pub kind: Kind,
}

/// An item, of this barclamp or of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemRef {
    /// The other barclamp.
    pub barclamp: Option<String>,
    /// The item's id.
    pub item: String,
}

/// Which nodes an item is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// All nodes.
    All,
    /// The founder only.
    Founder,
    /// The nodes with this role.
    Role(RoleName),
}

/// What an item is repeated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForEach {
    /// Every node.
    Node,
    /// Every node with this role.
    Role(RoleName),
    /// Every entry of an attribute that is a mapping or a list; keys separated by dots.
    Attribute(Vec<String>),
}

/// The kinds of item.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Packages of the distribution.
    Packages(PackagesItem),
    /// A file made from a template.
    File(FileItem),
    /// A systemd unit.
    Unit(UnitItem),
    /// The block in `/etc/hosts` that names all nodes.
    Hosts,
    /// A secret file shared by the nodes.
    Secret(SecretItem),
    /// A kernel module.
    Module(ModuleItem),
    /// A kernel parameter.
    Sysctl(SysctlItem),
    /// This very program.
    Program(ProgramItem),
    /// The cluster's fencing devices, from the attribute `fencing`, and the packages of their agents.
    Fencing,
    /// Cluster resources and constraints.
    Cluster(ClusterItem),
    /// `corosync.conf`.
    Corosync(CorosyncItem),
    /// The cluster's configuration.
    Cib(CibItem),
    /// A block device that is claimed.
    Claim(ClaimItem),
    /// A file system on a claimed device.
    Filesystem(FilesystemItem),
    /// SBD's header on a claimed device that all nodes share.
    SbdHeader(SbdHeaderItem),
    /// A volume that is replicated between claimed devices of two nodes.
    Volume(VolumeItem),
    /// A directory that lives on a volume.
    SeededDirectory(SeededDirectoryItem),
}

impl Kind {
    /// Its key in the file.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Packages(_) => "packages",
            Self::File(_) => "file",
            Self::Unit(_) => "unit",
            Self::Hosts => "hosts",
            Self::Secret(_) => "secret",
            Self::Module(_) => "module",
            Self::Sysctl(_) => "sysctl",
            Self::Program(_) => "program",
            Self::Fencing => "fencing",
            Self::Cluster(_) => "cluster",
            Self::Corosync(_) => "corosync",
            Self::Cib(_) => "cib",
            Self::Claim(_) => "claim",
            Self::Filesystem(_) => "filesystem",
            Self::SbdHeader(_) => "sbd_header",
            Self::Volume(_) => "volume",
            Self::SeededDirectory(_) => "seeded_directory",
        }
    }

    /// Whether it exists once per node, and not once per cluster.
    #[must_use]
    pub fn is_per_node(&self) -> bool {
        matches!(
            self,
            Self::Packages(_)
                | Self::File(_)
                | Self::Unit(_)
                | Self::Hosts
                | Self::Module(_)
                | Self::Program(_)
                | Self::Sysctl(_)
                | Self::Claim(_)
                | Self::Filesystem(_)
        )
    }
}

/// `packages`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagesItem {
    /// Their names, per distribution.
    pub names: DistroTable<Vec<String>>,
    /// Units that must not start when they are installed.
    #[serde(default)]
    pub keep_stopped: BTreeSet<String>,
}

/// `file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileItem {
    /// The template below `templates/`.
    pub template: String,
    /// Whether the content is a template of the inventory's own, to be rendered once more: `true` or anything else.
    #[serde(default)]
    pub render: Option<String>,
    /// Absolute path on the node.
    pub path: String,
    /// Permission bits in octal.
    #[serde(default = "default_mode")]
    pub mode: String,
    /// Owner's name.
    #[serde(default = "root")]
    pub owner: String,
    /// Group's name.
    #[serde(default = "root")]
    pub group: String,
    /// A command that must accept the file (`{}`) on the node before it is put in place.
    #[serde(default)]
    pub validate: Option<Vec<String>>,
}

/// `unit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitItem {
    /// Its name with suffix.
    pub name: String,
    /// Whether it starts at boot: `enabled`, `disabled`, `never`, `any`.
    pub boot: Boot,
    /// Whether it runs: `running`, `stopped`, `any`.
    pub run: Run,
    /// Items of kind `file` that it must have read since they changed.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Paths of such files, separated by blanks.
    #[serde(default)]
    pub reads_paths: Option<String>,
    /// How it reads them again: `reload` or `restart`.
    #[serde(default)]
    pub reread: Reread,
}

/// Whether a unit starts at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It does not, and nobody else starts it either: it may just as well be masked.
    Never,
    /// As it is.
    Any,
}

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// It does.
    Running,
    /// It does not.
    Stopped,
    /// As it is: somebody else (Pacemaker) decides.
    Any,
}

/// How a unit reads its files again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reread {
    /// It keeps running.
    Reload,
    /// It stops and starts.
    #[default]
    Restart,
}

/// `hosts`: no settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsItem {}

/// `fencing`: no settings; everything is in the attribute of that name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FencingItem {}

/// `secret`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretItem {
    /// Absolute path, the same on all nodes.
    pub path: String,
    /// Size of a new one in bytes.
    pub size_bytes: usize,
    /// The unit that uses it.
    pub used_by: String,
    /// The file's text, with `{}` for the random bytes in hexadecimal digits; default: the bytes as they are.
    #[serde(default)]
    pub text: Option<String>,
}

/// `module`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleItem {
    /// Its name.
    pub name: String,
}

/// `sysctl`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SysctlItem {
    /// Its key with dots.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// `cluster`: resources and constraints as an inventory spells them; keys and texts are templates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterItem {
    /// Resources by id.
    #[serde(default)]
    pub resources: Value,
    /// Constraints.
    #[serde(default)]
    pub constraints: Value,
}

/// `corosync`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorosyncItem {
    /// The template below `templates/`.
    pub template: String,
    /// Absolute path on the nodes.
    pub path: String,
}

/// `cib`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CibItem {
    /// The template below `templates/`.
    pub template: String,
}

impl Item {
    /// The texts of it that are templates.
    #[must_use]
    pub(super) fn templates(&self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        match &self.kind {
            Kind::Packages(item) => {
                texts.extend(item.names.iter().flat_map(|(_, names)| names.iter().cloned()));
                texts.extend(item.keep_stopped.iter().cloned());
            }
            Kind::File(item) => {
                texts.extend([&item.path, &item.mode, &item.owner, &item.group].map(String::clone));
                texts.extend(item.render.clone());
                texts.extend(item.validate.iter().flatten().cloned());
            }
            Kind::Unit(item) => {
                texts.push(item.name.clone());
                texts.extend(item.reads_paths.clone());
            }
            Kind::Secret(item) => texts.extend([item.path.clone(), item.used_by.clone()]),
            Kind::Module(item) => texts.push(item.name.clone()),
            Kind::Program(item) => texts.push(item.path.clone()),
            Kind::Sysctl(item) => texts.extend([item.key.clone(), item.value.clone()]),
            Kind::Cluster(item) => {
                data_texts(&item.resources, &mut texts);
                data_texts(&item.constraints, &mut texts);
            }
            Kind::Corosync(item) => texts.push(item.path.clone()),
            Kind::Claim(item) => {
                texts.extend([&item.name, &item.purpose, &item.minimum_size].map(String::clone));
                texts.extend(item.expects.iter().map(|expected| expected.kind.clone()));
            }
            Kind::Filesystem(item) => texts.extend([item.claim.clone(), item.fstype.clone()]),
            Kind::SbdHeader(item) => {
                texts.extend(
                    [&item.claim, &item.watchdog_timeout_s, &item.msgwait_timeout_s].map(String::clone),
                );
            }
            Kind::Volume(item) => texts.push(item.name.clone()),
            Kind::SeededDirectory(item) => texts.extend(item.texts()),
            Kind::Hosts | Kind::Fencing | Kind::Cib(_) => {}
        }
        texts.retain(|text| is_template(text));
        texts.extend(self.when.as_deref().map(condition));
        texts
    }

    /// The file template that it renders.
    #[must_use]
    pub(super) fn file_template(&self) -> Option<&str> {
        match &self.kind {
            Kind::File(item) => Some(&item.template),
            Kind::Corosync(item) => Some(&item.template),
            Kind::Cib(item) => Some(&item.template),
            _ => None,
        }
    }
}

/// The keys and texts of data.
pub(super) fn data_texts(data: &Value, texts: &mut Vec<String>) {
    match data {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| data_texts(item, texts)),
        Value::Object(object) => {
            for (key, value) in object {
                texts.push(key.clone());
                data_texts(value, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn default_mode() -> String {
    "0644".to_owned()
}

fn root() -> String {
    "root".to_owned()
}

/// Reads the declarations of a folder.
///
/// # Errors
/// Every item that is wrong.
pub(super) fn load_items(folder: &Folder) -> Result<Vec<Item>, Vec<BarclampError>> {
    let file: ResourcesFile = folder.yaml_if_any(RESOURCES_FILE).map_err(|error| vec![error])?;
    if file.resources.len() > MAX_ITEMS {
        return Err(vec![folder.error(
            RESOURCES_FILE,
            None,
            format!("there are more than {MAX_ITEMS} items"),
        )]);
    }
    let mut items: Vec<Item> = Vec::new();
    let mut errors = Vec::new();
    for written in file.resources {
        let line = written.id.referenced.line();
        match read_item(written) {
            Ok(item) if items.iter().any(|other| other.id == item.id) => {
                errors.push(folder.error(
                    RESOURCES_FILE,
                    Some(line),
                    format!("there are two items `{}`", item.id),
                ));
            }
            Ok(item) => items.push(item),
            Err(message) => errors.push(folder.error(RESOURCES_FILE, Some(line), message)),
        }
    }
    if errors.is_empty() { Ok(items) } else { Err(errors) }
}

fn read_item(written: ItemFile) -> Result<Item, String> {
    let id = written.id.value;
    let line = written.id.referenced.line();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(format!("`{id}` is not an item's id: use small letters, digits and `-`"));
    }
    let kinds: Vec<Kind> = [
        written.packages.map(Kind::Packages),
        written.file.map(Kind::File),
        written.unit.map(Kind::Unit),
        written.hosts.map(|HostsItem {}| Kind::Hosts),
        written.secret.map(Kind::Secret),
        written.module.map(Kind::Module),
        written.sysctl.map(Kind::Sysctl),
        written.program.map(Kind::Program),
        written.fencing.map(|FencingItem {}| Kind::Fencing),
        written.cluster.map(Kind::Cluster),
        written.corosync.map(Kind::Corosync),
        written.cib.map(Kind::Cib),
        written.claim.map(Kind::Claim),
        written.filesystem.map(Kind::Filesystem),
        written.sbd_header.map(Kind::SbdHeader),
        written.volume.map(Kind::Volume),
        written.seeded_directory.map(Kind::SeededDirectory),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut kinds = kinds.into_iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return Err(format!("item `{id}` must be of exactly one kind"));
    };
    let on =
        written.on.as_deref().map_or(Ok(On::All), parse_on).map_err(|why| format!("item `{id}`: {why}"))?;
    let for_each = written
        .for_each
        .as_deref()
        .map(parse_for_each)
        .transpose()
        .map_err(|why| format!("item `{id}`: {why}"))?;
    if written.on.is_some() && !kind.is_per_node() && !matches!(kind, Kind::Secret(_)) {
        return Err(format!("item `{id}`: `{}` is for the cluster as a whole and has no `on`", kind.word()));
    }
    let repeatable = matches!(
        kind,
        Kind::Packages(_)
            | Kind::File(_)
            | Kind::Unit(_)
            | Kind::Module(_)
            | Kind::Sysctl(_)
            | Kind::Cluster(_)
            | Kind::Claim(_)
            | Kind::Filesystem(_)
            | Kind::SbdHeader(_)
            | Kind::Volume(_)
            | Kind::SeededDirectory(_)
    );
    if for_each.is_some() && !repeatable {
        return Err(format!("item `{id}`: `{}` cannot be repeated", kind.word()));
    }
    let after = written.after.iter().map(|text| parse_ref(text)).collect();
    Ok(Item { id, line, inherited: false, on, for_each, when: written.when, after, kind })
}

pub(super) fn parse_on(text: &str) -> Result<On, String> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["all"] => Ok(On::All),
        ["founder"] => Ok(On::Founder),
        ["role", name] => RoleName::new(*name).map(On::Role).map_err(|error| error.to_string()),
        _ => Err(format!("`on: {text}` is not known; write `all`, `founder` or `role NAME`")),
    }
}

fn parse_for_each(text: &str) -> Result<ForEach, String> {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["node"] => Ok(ForEach::Node),
        ["role", name] => RoleName::new(*name).map(ForEach::Role).map_err(|error| error.to_string()),
        ["attribute", path] => Ok(ForEach::Attribute(path.split('.').map(str::to_owned).collect())),
        _ => Err(format!("`for_each: {text}` is not known; write `node`, `role NAME` or `attribute PATH`")),
    }
}

fn parse_ref(text: &str) -> ItemRef {
    match text.split_once('/') {
        Some((barclamp, item)) => ItemRef { barclamp: Some(barclamp.to_owned()), item: item.to_owned() },
        None => ItemRef { barclamp: None, item: text.to_owned() },
    }
}
