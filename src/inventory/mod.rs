//! Stage 1, what the user wants: from YAML to an [`Inventory`] in which everything is valid.

mod model;
mod resources;
mod secret;
mod value;

pub use model::{
    AutoClaim, BarclampEntry, ClaimPolicy, Cluster, DEFAULT_CONNECT_TIMEOUT, DEFAULT_MINIMUM_CLAIM_SIZE,
    DeviceClaim, INVENTORY_VERSION, Inventory, JumpHost, MAX_LINKS, MAX_NODES_PER_CLUSTER, Node, SshSettings,
    Sudo, WipeConsent,
};
pub use resources::{
    Agent, AgentClass, Colocation, Constraint, ConstraintKind, Location, LocationTarget, OnFail, Operation,
    Order, OrderAction, OrderKind, OrderSubject, Primitive, PrimitiveSource, Resource, ResourceDiscovery,
    ResourceKind, ResourceSet, Role, Rule, RuleOperation, RuleScore, RuleValueType,
};
pub use secret::{DEFAULT_GENERATED_BYTES, SecretRef, Setting};
pub use value::{
    Address, ByteSize, Comparison, HostName, MAX_DURATION, MAX_HOST_LABEL_BYTES, MAX_HOST_NAME_BYTES,
    MAX_RESOURCE_ID_BYTES, ResourceId, SCORE_INFINITY, Score, SizeMatch, ValueError, format_duration,
    parse_duration,
};
