//! Stage 1, what the user wants: from YAML to an [`Inventory`] in which everything is valid.

mod check;
mod decode;
mod diagnostic;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod hostile_tests;
mod load;
#[cfg(test)]
mod load_tests;
mod merge;
mod model;
mod render;
mod resources;
mod schema;
mod secret;
mod secret_resolver;
mod source;
mod spans;
mod suggest;
mod tree;
mod value;
mod variables;
mod yaml;

pub use decode::MAX_RULE_CONDITIONS;
pub use diagnostic::{Diagnostic, Label, MAX_MESSAGE_CHARS, SourceId, Span};
pub use load::{LoadError, Loaded, decode_constraints, decode_resources, load};
pub use model::{
    AutoClaim, BarclampEntry, ClaimPolicy, Cluster, DEFAULT_CONNECT_TIMEOUT, DEFAULT_MINIMUM_CLAIM_SIZE,
    DeviceClaim, INVENTORY_VERSION, Inventory, JumpHost, MAX_LINKS, MAX_NODES_PER_CLUSTER, Node, SshSettings,
    Sudo, WipeConsent,
};
pub use render::{DIAGNOSTICS_FORMAT, MAX_SHOWN, Style, render, to_json};
pub use resources::{
    Agent, AgentClass, Colocation, Constraint, ConstraintKind, Location, LocationTarget, OnFail, Operation,
    Order, OrderAction, OrderKind, OrderSubject, Primitive, PrimitiveSource, Resource, ResourceDiscovery,
    ResourceKind, ResourceSet, Role, Rule, RuleOperation, RuleScore, RuleValueType,
};
pub use schema::schema;
pub use secret::{DEFAULT_GENERATED_BYTES, MAX_GENERATED_BYTES, MIN_GENERATED_BYTES, SecretRef, Setting};
pub use secret_resolver::{
    AGE_IDENTITY_VARIABLE, MAX_SECRET_BYTES, SECRET_COMMAND_TIMEOUT, SecretError, SecretFailure,
    SecretResolver, SecretValue,
};
pub use source::{MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Position, Source, SourceText, Sources};
pub use spans::{Spans, child_pointer};
pub(crate) use suggest::closest;
pub use value::{
    Address, ByteSize, Comparison, HostName, MAX_DURATION, MAX_HOST_LABEL_BYTES, MAX_HOST_NAME_BYTES,
    MAX_RESOURCE_ID_BYTES, ResourceId, SCORE_INFINITY, Score, SizeMatch, ValueError, format_duration,
    parse_duration,
};
pub(crate) use variables::is_name as is_variable_name;
pub use variables::{MAX_EXPANDED_BYTES, MAX_VARIABLE_DEPTH};
pub use yaml::{MAX_DEPTH, MAX_VALUES};
