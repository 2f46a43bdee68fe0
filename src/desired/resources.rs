//! From declarations to resources.

use std::net::IpAddr;

use super::packages::merged;
use crate::barclamp::{BarclampError, ClusterView, CorosyncDeclaration, Declaration, Registry, declare};
use crate::cib::Cib;
use crate::corosync::CorosyncConf;
use crate::names::NodeName;
use crate::plan::{Blocked, Note};
use crate::resource::{
    CibConfig, CorosyncConfig, LabFencing, LinkCheck, Membership, Resource, ResourceId, VolumeSync,
};

/// corosync's first UDP port; link N uses the Nth after it unless its interface says otherwise (corosync.conf(5)).
const FIRST_PORT: u16 = 5405;
/// The units whose start makes a node a member.
const STACK: [&str; 2] = ["corosync.service", "pacemaker.service"];

/// What is wanted of one cluster.
#[derive(Debug, Default)]
pub struct Desired {
    /// Every resource.
    pub resources: Vec<Box<dyn Resource>>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// Why nothing is planned for the cluster; empty when it is.
    pub blocked: Vec<Blocked>,
}

/// Everything that the barclamps of a cluster want of its nodes.
///
/// # Errors
/// The barclamps cannot be rendered for this cluster.
pub fn resources(view: &ClusterView, registry: &Registry) -> Result<Desired, Vec<BarclampError>> {
    let declarations = merged(declare(registry, view)?);
    let stack: Vec<ResourceId> = declarations.iter().filter_map(stack_unit).collect();
    let membership = Membership {
        id: ResourceId::of_cluster("membership", "nodes", &view.name),
        requires: stack,
        nodes: view.node_names(),
        founder: view.founder.clone(),
    };
    let links = declarations.iter().find_map(|declaration| match declaration {
        Declaration::Corosync(corosync) => Some(link_check(view, corosync)),
        _ => None,
    });
    let first: Vec<ResourceId> = links.iter().map(|links| links.id.clone()).collect();
    let mut resources: Vec<Box<dyn Resource>> = Vec::with_capacity(declarations.len() + 2);
    resources.extend(links.map(|links| Box::new(links) as Box<dyn Resource>));
    resources.extend(
        declarations
            .iter()
            .filter_map(|declaration| lab_fencing(declaration, registry))
            .map(|fencing| Box::new(fencing) as Box<dyn Resource>),
    );
    let in_sync = in_sync(&declarations);
    let formed = !membership.requires.is_empty();
    for declaration in declarations {
        resources.push(resource(declaration, &first, formed.then_some(&membership.id)));
    }
    resources.extend(in_sync.into_iter().map(|sync| Box::new(sync) as Box<dyn Resource>));
    if formed {
        resources.push(Box::new(membership));
    }
    Ok(Desired { resources, ..Desired::default() })
}

/// That both sides of every volume hold the same, once the cluster has them.
fn in_sync(declarations: &[Declaration]) -> Vec<VolumeSync> {
    let cib = declarations.iter().find_map(|declaration| match declaration {
        Declaration::Cib(cib) => Some(cib.id.clone()),
        _ => None,
    });
    let volumes = declarations.iter().filter_map(|declaration| match declaration {
        Declaration::Volume(volume) => Some(volume),
        _ => None,
    });
    volumes
        .map(|volume| VolumeSync {
            id: ResourceId::of_cluster("in-sync", &volume.volume.name, &volume.cluster),
            requires: std::iter::once(volume.id.clone()).chain(cib.clone()).collect(),
            volume_id: volume.id.clone(),
            volume: volume.volume.clone(),
            node: volume.founder.clone(),
            size_bytes: volume.members.values().map(|device| device.size_bytes).max().unwrap_or(0),
        })
        .collect()
}

fn stack_unit(declaration: &Declaration) -> Option<ResourceId> {
    match declaration {
        Declaration::Unit(unit) if STACK.contains(&unit.unit.as_str()) => Some(unit.id.clone()),
        _ => None,
    }
}

/// What requires nothing comes after the links were checked; the CIB comes after the cluster has formed.
fn resource(
    declaration: Declaration,
    first: &[ResourceId],
    formed: Option<&ResourceId>,
) -> Box<dyn Resource> {
    let after = |requires: Vec<ResourceId>| if requires.is_empty() { first.to_vec() } else { requires };
    macro_rules! behind_the_checks {
        ($it:ident) => {{
            $it.requires = after($it.requires);
            Box::new($it)
        }};
    }
    match declaration {
        Declaration::Packages(mut it) => behind_the_checks!(it),
        Declaration::File(mut it) => behind_the_checks!(it),
        Declaration::Unit(mut it) => behind_the_checks!(it),
        Declaration::Hosts(mut it) => behind_the_checks!(it),
        Declaration::Secret(mut it) => behind_the_checks!(it),
        Declaration::Program(mut it) => behind_the_checks!(it),
        Declaration::Module(mut it) => behind_the_checks!(it),
        Declaration::Sysctl(mut it) => behind_the_checks!(it),
        Declaration::Claim(mut it) => behind_the_checks!(it),
        Declaration::Filesystem(mut it) => behind_the_checks!(it),
        Declaration::SbdHeader(mut it) => behind_the_checks!(it),
        Declaration::Volume(mut it) => {
            it.requires = after(it.requires);
            it
        }
        Declaration::SeededDirectory(mut it) => {
            it.requires = after(it.requires);
            it
        }
        Declaration::Corosync(it) => Box::new(CorosyncConfig {
            id: it.id,
            requires: after(it.requires),
            nodes: it.nodes,
            content: it.content,
        }),
        Declaration::Cib(it) => Box::new(CibConfig {
            id: it.id,
            requires: it.requires.into_iter().chain(formed.cloned()).collect(),
            cluster: it.cluster,
            nodes: it.nodes,
            founder: it.founder,
            desired: it.xml,
        }),
    }
}

/// The fence devices of a CIB that only a lab may have. A CIB that cannot be read is refused where it is compared.
fn lab_fencing(declaration: &Declaration, registry: &Registry) -> Option<LabFencing> {
    let Declaration::Cib(it) = declaration else { return None };
    let cib = Cib::parse(&it.xml).ok()?;
    let lab_only =
        |agent: &str| registry.iter().any(|one| one.agents.get(agent).is_some_and(|agent| agent.lab_only));
    let id = ResourceId::of_cluster("fencing", "lab-only", &it.cluster);
    LabFencing::among(id, &it.nodes, cib.root(), lab_only)
}

fn link_check(view: &ClusterView, corosync: &CorosyncDeclaration) -> LinkCheck {
    let addresses: Vec<(NodeName, Vec<IpAddr>)> =
        view.nodes.iter().map(|node| (node.name.clone(), node.links.clone())).collect();
    let links = addresses.iter().map(|(_, links)| links.len()).max().unwrap_or(0);
    let conf = CorosyncConf::parse(&corosync.content).unwrap_or_default();
    let configured = conf.interfaces();
    let ports = (0..links)
        .map(|link| {
            let own = configured.iter().find(|interface| usize::from(interface.linknumber) == link);
            let default = FIRST_PORT.saturating_add(u16::try_from(link).unwrap_or(0));
            own.and_then(|interface| interface.options.get("mcastport")?.parse().ok()).unwrap_or(default)
        })
        .collect();
    LinkCheck {
        id: ResourceId::of_cluster("links", "reachable", &view.name),
        requires: Vec::new(),
        addresses: addresses.into_iter().collect(),
        ports,
    }
}
