//! Resources and constraints in Pacemaker's own terms; barclamps use the same vocabulary.
//!
//! Plain data: what exists here is valid in itself; references between resources are checked by the loader.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::secret::Setting;
use super::value::{ResourceId, Score, ValueError};
use crate::names::NodeName;

/// One resource of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resource {
    /// Its id in the CIB.
    pub id: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Meta attributes.
    pub meta: BTreeMap<String, Setting>,
}

impl Resource {
    /// The resources that this one is made of: members of a group, the resource that is cloned, a template.
    #[must_use]
    pub fn references(&self) -> Vec<&ResourceId> {
        match &self.kind {
            ResourceKind::Primitive(Primitive { source: PrimitiveSource::Template(template), .. }) => {
                vec![template]
            }
            ResourceKind::Primitive(_) | ResourceKind::Template(_) => Vec::new(),
            ResourceKind::Group { members } => members.iter().collect(),
            ResourceKind::Clone { resource, .. } => vec![resource],
        }
    }
}

/// The kinds of resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// One service, run by a resource agent.
    Primitive(Primitive),
    /// Primitives that run together, started in this order.
    Group {
        /// The members; at least one.
        members: Vec<ResourceId>,
    },
    /// A primitive or group that runs on several nodes.
    Clone {
        /// What is cloned.
        resource: ResourceId,
        /// Whether instances may be promoted.
        promotable: bool,
    },
    /// What several primitives have in common; runs nothing itself.
    Template(Primitive),
}

/// A service as its agent wants it described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Primitive {
    /// The agent, or the template that names it. A template's own source is always an agent.
    pub source: PrimitiveSource,
    /// Parameters of the agent (instance attributes).
    pub params: BTreeMap<String, Setting>,
    /// Operations, in the order of the inventory; (name, interval) is unique.
    pub operations: Vec<Operation>,
    /// How much of what it needs.
    pub utilization: BTreeMap<String, i64>,
}

/// Where a primitive's agent comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrimitiveSource {
    /// An agent.
    Agent(Agent),
    /// A template, written `@template`.
    Template(ResourceId),
}

/// A resource agent: `ocf:heartbeat:IPaddr2`, `systemd:haproxy`, `stonith:fence_ipmilan`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Agent {
    /// Standard: `ocf`, `systemd`, `service`, `lsb`, `stonith`.
    pub class: AgentClass,
    /// Provider; with `ocf` only.
    pub provider: Option<String>,
    /// Name of the agent.
    pub name: String,
}

/// Standards of resource agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentClass {
    /// Open Cluster Framework.
    Ocf,
    /// A systemd unit.
    Systemd,
    /// systemd or LSB, whichever the node has.
    Service,
    /// An init script.
    Lsb,
    /// A fence agent.
    Stonith,
}

impl AgentClass {
    /// As Pacemaker writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ocf => "ocf",
            Self::Systemd => "systemd",
            Self::Service => "service",
            Self::Lsb => "lsb",
            Self::Stonith => "stonith",
        }
    }
}

impl FromStr for Agent {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let fail = |why| ValueError { wanted: "a resource agent", text: text.to_owned(), why };
        let parts: Vec<&str> = text.split(':').collect();
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b'\\'))
        };
        if !parts.iter().all(|part| word(part)) {
            return Err(fail("write class:name or ocf:provider:name, for example ocf:heartbeat:IPaddr2"));
        }
        let class = match parts[0] {
            "ocf" => AgentClass::Ocf,
            "systemd" => AgentClass::Systemd,
            "service" => AgentClass::Service,
            "lsb" => AgentClass::Lsb,
            "stonith" => AgentClass::Stonith,
            _ => return Err(fail("the class must be ocf, systemd, service, lsb or stonith")),
        };
        match (class, parts.as_slice()) {
            (AgentClass::Ocf, [_, provider, name]) => {
                Ok(Self { class, provider: Some((*provider).to_owned()), name: (*name).to_owned() })
            }
            (AgentClass::Ocf, _) => Err(fail("an ocf agent has a provider: ocf:heartbeat:IPaddr2")),
            (_, [_, name]) => Ok(Self { class, provider: None, name: (*name).to_owned() }),
            _ => Err(fail("only ocf agents have a provider: write class:name")),
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{}:{provider}:{}", self.class.as_str(), self.name),
            None => write!(f, "{}:{}", self.class.as_str(), self.name),
        }
    }
}

impl Serialize for Agent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One operation of a primitive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// `monitor`, `start`, `stop`, `promote`, ...
    pub name: String,
    /// Time between two runs; zero for what is not repeated.
    pub interval: Duration,
    /// Longest time it may take.
    pub timeout: Option<Duration>,
    /// What a failure leads to.
    pub on_fail: Option<OnFail>,
    /// Role in which it runs.
    pub role: Option<Role>,
    /// Anything else Pacemaker or the agent knows (`start-delay`, `record-pending`, `OCF_CHECK_LEVEL`, ...).
    pub other: BTreeMap<String, Setting>,
}

/// What a failed operation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFail {
    /// `ignore`
    Ignore,
    /// `block`
    Block,
    /// `stop`
    Stop,
    /// `demote`
    Demote,
    /// `restart`
    Restart,
    /// `restart-container`
    RestartContainer,
    /// `fence`
    Fence,
    /// `standby`
    Standby,
}

/// What an instance of a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Role {
    /// Running, or an instance that is not promoted.
    Started,
    /// Not running.
    Stopped,
    /// Promoted (`Master` before Pacemaker 2.1).
    Promoted,
    /// Running and not promoted (`Slave` before Pacemaker 2.1).
    Unpromoted,
}

/// One constraint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Constraint {
    /// Its id in the CIB: given, or derived from what it says (`location-web-alpha`).
    pub id: ResourceId,
    /// What it demands.
    pub kind: ConstraintKind,
}

impl Constraint {
    /// The resources that it speaks of.
    #[must_use]
    pub fn references(&self) -> Vec<&ResourceId> {
        fn members(sets: &[ResourceSet]) -> Vec<&ResourceId> {
            sets.iter().flat_map(|set| &set.members).collect()
        }
        match &self.kind {
            ConstraintKind::Location(location) => vec![&location.resource],
            ConstraintKind::Order(order) => match &order.subject {
                OrderSubject::Pair { first, then, .. } => vec![first, then],
                OrderSubject::Sets(sets) => members(sets),
            },
            ConstraintKind::Colocation(colocation) => vec![&colocation.resource, &colocation.with],
        }
    }
}

/// The kinds of constraint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstraintKind {
    /// Where a resource may run.
    Location(Location),
    /// What starts before what.
    Order(Order),
    /// What runs beside what.
    Colocation(Colocation),
}

/// Where a resource may run, and how much that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Location {
    /// The resource.
    pub resource: ResourceId,
    /// Which nodes.
    pub target: LocationTarget,
    /// Only for instances in this role.
    pub role: Option<Role>,
    /// Whether nodes are probed for the resource (`resource-discovery`).
    pub discovery: Option<ResourceDiscovery>,
}

/// Which nodes a location constraint is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationTarget {
    /// One node.
    Node {
        /// The node.
        node: NodeName,
        /// How much it is wanted there.
        score: Score,
    },
    /// All nodes for which the rule holds.
    Rule {
        /// The rule.
        rule: Rule,
        /// How much it is wanted there.
        score: RuleScore,
    },
}

/// Whether nodes are probed for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceDiscovery {
    /// On all nodes.
    Always,
    /// On no node.
    Never,
    /// On the nodes of this constraint and its like only.
    Exclusive,
}

/// Where a rule's score comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleScore {
    /// A number.
    Score(Score),
    /// The value of this node attribute.
    Attribute(String),
}

/// A condition on node attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// All of them hold.
    All(Vec<Rule>),
    /// At least one of them holds.
    Any(Vec<Rule>),
    /// A node attribute compares so with a value.
    Compare {
        /// Name of the attribute.
        attribute: String,
        /// How.
        operation: RuleOperation,
        /// With what.
        value: String,
        /// As what; Pacemaker guesses when it is not said.
        value_type: Option<RuleValueType>,
    },
    /// A node attribute is there.
    Defined(String),
    /// A node attribute is not there.
    NotDefined(String),
}

/// Comparisons in rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleOperation {
    /// less
    Lt,
    /// more
    Gt,
    /// less or equal
    Lte,
    /// more or equal
    Gte,
    /// equal
    Eq,
    /// not equal
    Ne,
}

/// How the values of a comparison are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleValueType {
    /// As text.
    String,
    /// As a whole number.
    Integer,
    /// As a number.
    Number,
    /// As a version.
    Version,
}

/// What starts before what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// The resources.
    pub subject: OrderSubject,
    /// How strict it is; Pacemaker's default is mandatory.
    pub kind: OrderKind,
    /// Whether stopping goes the other way round; Pacemaker's default depends on `kind`.
    pub symmetrical: Option<bool>,
}

/// The resources of an order constraint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderSubject {
    /// One before another.
    Pair {
        /// This one.
        first: ResourceId,
        /// What of it must be done; default `start`.
        first_action: Option<OrderAction>,
        /// Then this one.
        then: ResourceId,
        /// What may be done then; default: as `first_action`.
        then_action: Option<OrderAction>,
    },
    /// Sets, one after the other.
    Sets(Vec<ResourceSet>),
}

/// Actions that can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderAction {
    /// start
    Start,
    /// stop
    Stop,
    /// promote
    Promote,
    /// demote
    Demote,
}

/// How strict an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum OrderKind {
    /// Always.
    Mandatory,
    /// Only when both happen anyway.
    Optional,
    /// Never both at once.
    Serialize,
}

/// What runs beside what. A list of more than two in the inventory becomes one constraint per neighbouring pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Colocation {
    /// This one goes where `with` is.
    pub resource: ResourceId,
    /// Only in this role.
    pub role: Option<Role>,
    /// The one that is placed first.
    pub with: ResourceId,
    /// Only where it has this role.
    pub with_role: Option<Role>,
    /// How much it is wanted.
    pub score: Score,
}

/// Several resources of which an order speaks as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceSet {
    /// The members; at least one.
    pub members: Vec<ResourceId>,
    /// Whether they are ordered among themselves too.
    pub sequential: bool,
    /// Whether all members must be active before the next set goes on (`require-all`); Pacemaker's default is true.
    pub require_all: Option<bool>,
    /// What of the members must be done; default `start`.
    pub action: Option<OrderAction>,
}
