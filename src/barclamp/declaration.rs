//! What barclamps declare for a cluster: data that maps one to one to the resources of a plan.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use crate::names::{ClusterName, NodeName};
use crate::resource::{
    DeviceClaim, Filesystem, HostsBlock, KernelModule, ManagedFile, OwnProgram, Packages, ReplicatedVolume,
    ResourceId, SbdHeader, SeededDirectory, SharedSecret, Sysctl, Unit,
};

/// One thing that is wanted, fully rendered, secrets as markers.
#[derive(Debug, Clone)]
pub enum Declaration {
    /// Packages on a node.
    Packages(Packages),
    /// A file on a node.
    File(ManagedFile),
    /// A unit on a node.
    Unit(Unit),
    /// The names of the nodes, on a node.
    Hosts(HostsBlock),
    /// A secret file that the nodes share.
    Secret(SharedSecret),
    /// A kernel module on a node.
    Module(KernelModule),
    /// The running program on a node.
    Program(OwnProgram),
    /// A kernel parameter on a node.
    Sysctl(Sysctl),
    /// `corosync.conf` of the cluster.
    Corosync(CorosyncDeclaration),
    /// The cluster's configuration.
    Cib(CibDeclaration),
    /// A claimed device on a node.
    Claim(DeviceClaim),
    /// A file system on a node.
    Filesystem(Filesystem),
    /// SBD's header on a device that the nodes share.
    SbdHeader(SbdHeader),
    /// A replicated volume.
    Volume(Box<ReplicatedVolume>),
    /// A directory that lives on a volume.
    SeededDirectory(Box<SeededDirectory>),
}

/// `corosync.conf`: one text for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorosyncDeclaration {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Which cluster.
    pub cluster: ClusterName,
    /// The nodes that have the file.
    pub nodes: BTreeSet<NodeName>,
    /// Absolute path on the nodes.
    pub path: Utf8PathBuf,
    /// The text.
    pub content: String,
}

/// The CIB: what is wanted in it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CibDeclaration {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Which cluster.
    pub cluster: ClusterName,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
    /// The node that sends it when no Pacemaker runs yet.
    pub founder: NodeName,
    /// `<cib>` with the objects that are wanted, secrets as markers.
    pub xml: String,
}

impl Declaration {
    /// Its name in plans.
    #[must_use]
    pub fn id(&self) -> &ResourceId {
        match self {
            Self::Packages(it) => &it.id,
            Self::File(it) => &it.id,
            Self::Unit(it) => &it.id,
            Self::Hosts(it) => &it.id,
            Self::Secret(it) => &it.id,
            Self::Module(it) => &it.id,
            Self::Program(it) => &it.id,
            Self::Sysctl(it) => &it.id,
            Self::Corosync(it) => &it.id,
            Self::Cib(it) => &it.id,
            Self::Claim(it) => &it.id,
            Self::Filesystem(it) => &it.id,
            Self::SbdHeader(it) => &it.id,
            Self::Volume(it) => &it.id,
            Self::SeededDirectory(it) => &it.id,
        }
    }

    /// What must come first.
    #[must_use]
    pub fn requires(&self) -> &[ResourceId] {
        match self {
            Self::Packages(it) => &it.requires,
            Self::File(it) => &it.requires,
            Self::Unit(it) => &it.requires,
            Self::Hosts(it) => &it.requires,
            Self::Secret(it) => &it.requires,
            Self::Module(it) => &it.requires,
            Self::Program(it) => &it.requires,
            Self::Sysctl(it) => &it.requires,
            Self::Corosync(it) => &it.requires,
            Self::Cib(it) => &it.requires,
            Self::Claim(it) => &it.requires,
            Self::Filesystem(it) => &it.requires,
            Self::SbdHeader(it) => &it.requires,
            Self::Volume(it) => &it.requires,
            Self::SeededDirectory(it) => &it.requires,
        }
    }

    /// Every name of another thing in it: what must come first, who keeps it masked, whose file it reads.
    pub fn references_mut(&mut self) -> Vec<&mut ResourceId> {
        match self {
            Self::Packages(it) => it.requires.iter_mut().collect(),
            Self::File(it) => it.requires.iter_mut().collect(),
            Self::Unit(it) => {
                let read = it.reads.iter_mut().map(|(_, id)| id);
                it.requires.iter_mut().chain(&mut it.held_by).chain(read).collect()
            }
            Self::Hosts(it) => it.requires.iter_mut().collect(),
            Self::Secret(it) => it.requires.iter_mut().collect(),
            Self::Module(it) => it.requires.iter_mut().collect(),
            Self::Program(it) => it.requires.iter_mut().collect(),
            Self::Sysctl(it) => it.requires.iter_mut().collect(),
            Self::Corosync(it) => it.requires.iter_mut().collect(),
            Self::Cib(it) => it.requires.iter_mut().collect(),
            Self::Claim(it) => it.requires.iter_mut().collect(),
            Self::Filesystem(it) => it.requires.iter_mut().collect(),
            Self::SbdHeader(it) => it.requires.iter_mut().collect(),
            Self::Volume(it) => it.requires.iter_mut().collect(),
            Self::SeededDirectory(it) => it.requires.iter_mut().collect(),
        }
    }

    /// The node it is for; `None` when it is the cluster's.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Packages(it) => Some(&it.node),
            Self::File(it) => Some(&it.node),
            Self::Unit(it) => Some(&it.node),
            Self::Hosts(it) => Some(&it.node),
            Self::Module(it) => Some(&it.node),
            Self::Program(it) => Some(&it.node),
            Self::Sysctl(it) => Some(&it.node),
            Self::Claim(it) => Some(&it.node),
            Self::Filesystem(it) => Some(&it.node),
            Self::Secret(_)
            | Self::Corosync(_)
            | Self::Cib(_)
            | Self::SbdHeader(_)
            | Self::Volume(_)
            | Self::SeededDirectory(_) => None,
        }
    }
}
