//! Which keys there are: the one list that the decoder checks against and the JSON Schema is made from.
//!
//! In: nothing. Out: constant tables. Each key has the sentence that editors show for it.

use serde_json::{Value as Json, json};

/// A key that a mapping may have.
pub(crate) struct Field {
    /// The key.
    pub(crate) name: &'static str,
    /// What it means, for people.
    pub(crate) doc: &'static str,
    /// JSON Schema of what stands under it.
    pub(crate) schema: fn() -> Json,
}

const fn field(name: &'static str, doc: &'static str, schema: fn() -> Json) -> Field {
    Field { name, doc, schema }
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn map_of(name: &str) -> Json {
    json!({ "type": ["object", "null"], "additionalProperties": reference(name) })
}

fn list_of(name: &str) -> Json {
    json!({ "type": ["array", "null"], "items": reference(name) })
}

fn one_or_list_of(name: &str) -> Json {
    json!({ "anyOf": [reference(name), { "type": "array", "items": reference(name) }] })
}

/// Keys of the inventory itself; beside them keys that begin with `x-` are allowed and ignored.
pub(crate) const INVENTORY: &[Field] = &[
    field("version", "Version of the inventory format: 1.", || json!({ "const": 1 })),
    field("variables", "Values for `${name}` in texts; `--var NAME=VALUE` overrides them.", || {
        map_of("text")
    }),
    field("clusters", "The clusters, by name.", || map_of("cluster")),
];

/// Keys of a cluster.
pub(crate) const CLUSTER: &[Field] = &[
    field("nodes", "The machines, by the name that `uname -n` prints on them.", || map_of("node")),
    field("ssh", "How to log in to the nodes.", || reference("ssh")),
    field(
        "claims",
        "Block devices claimed explicitly: node, then purpose, then device.",
        || json!({ "type": ["object", "null"], "additionalProperties": map_of("claim") }),
    ),
    field("claim_policy", "When a block device may be claimed without being named.", || {
        reference("claim_policy")
    }),
    field(
        "barclamps",
        "Services to set up, each with its attributes (`hactl barclamp show NAME`).",
        || json!({ "type": ["object", "null"], "additionalProperties": { "type": ["object", "null"] } }),
    ),
    field("resources", "Cluster resources in Pacemaker's own terms, by id.", || map_of("resource")),
    field("constraints", "Where resources run, in which order, and beside what.", || list_of("constraint")),
    field("resource_defaults", "Meta attributes of all resources unless they say otherwise.", || {
        map_of("setting")
    }),
    field("operation_defaults", "Properties of all operations unless they say otherwise.", || {
        map_of("setting")
    }),
];

/// Keys of a node.
pub(crate) const NODE: &[Field] = &[
    field("address", "IP address or host name for SSH.", || reference("address")),
    field("port", "TCP port of sshd; default 22.", || reference("port")),
    field(
        "links",
        "IP addresses for corosync, link 0 first, at most 8; default: the node's address.",
        || json!({ "type": "array", "minItems": 1, "maxItems": 8, "items": reference("ip") }),
    ),
    field("roles", "What the node does for barclamps.", || list_of("name")),
    field("attributes", "Permanent node attributes of Pacemaker.", || map_of("setting")),
    field("utilization", "How much of what the node has, for Pacemaker's utilization.", || map_of("integer")),
    field("ssh", "How to log in to this node, where it differs from the cluster's `ssh`.", || {
        reference("ssh")
    }),
];

/// Keys of `ssh`.
pub(crate) const SSH: &[Field] = &[
    field("user", "Login name; default: as ssh_config says, else root.", || reference("text")),
    field("port", "TCP port; default: as ssh_config says, else 22.", || reference("port")),
    field("identity", "Private key file, or a list of them, relative to this file.", || {
        one_or_list_of("text")
    }),
    field("agent", "Whether the keys of a running ssh-agent are tried too; default true.", || {
        reference("boolean")
    }),
    field("passphrase", "What decrypts the private keys.", || reference("secret")),
    field("sudo", "How to become root: false, true, or `{ password: SECRET }`.", || {
        json!({ "anyOf": [reference("boolean"), {
            "type": "object",
            "required": ["password"],
            "additionalProperties": false,
            "properties": { "password": reference("secret") },
        }] })
    }),
    field("jump", "Host to go through, `[user@]host[:port]`, or a list of them; `[]`: none.", || {
        one_or_list_of("text")
    }),
    field("known_hosts", "known_hosts file to use instead of the user's, relative to this file.", || {
        reference("text")
    }),
    field("config", "ssh_config file to use instead of ~/.ssh/config, relative to this file.", || {
        reference("text")
    }),
    field("connect_timeout", "Longest time for connecting and logging in; default 10s.", || {
        reference("duration")
    }),
];

/// Keys of `sudo` when it is a mapping.
pub(crate) const SUDO: &[Field] = &[field("password", "What sudo asks for.", || reference("secret"))];

/// Keys of a claim when it is a mapping.
pub(crate) const CLAIM: &[Field] = &[
    field("path", "A link below /dev/disk/ (by-id, by-path, ...).", || reference("text")),
    field("serial", "Serial number.", || reference("text")),
    field("wwn", "World Wide Name.", || reference("text")),
    field("eui", "NVMe EUI-64 or NGUID.", || reference("text")),
    field("model", "Model.", || reference("text")),
    field("size", "Size, or a comparison: `20GiB`, `>= 20GiB`.", || reference("size_match")),
    field("rotational", "Whether it turns.", || reference("boolean")),
    field("transport", "How it is attached: sata, sas, nvme, usb, virtio, ...", || reference("text")),
    field(
        "wipe",
        "Consent to lose what is on it, named as `type/uuid`; a list where there is more than one thing.",
        || {
            let one = json!({ "type": "string", "pattern": "^[^/]+/.+$" });
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        },
    ),
    field(
        "unstable_path",
        "`accept`: the path is a bare device name that may move.",
        || json!({ "const": "accept" }),
    ),
];

/// Keys of `claim_policy`.
pub(crate) const CLAIM_POLICY: &[Field] = &[
    field(
        "auto",
        "`single-candidate` (default): a lone candidate is taken; `never`: none is.",
        || json!({ "enum": ["single-candidate", "never"] }),
    ),
    field("minimum_size", "Smaller devices are no candidates; default 1GiB.", || reference("size")),
    field("device_types", "Types of device that may be candidates; default disk and mpath.", || {
        list_of("text")
    }),
];

/// Keys that say what a resource is: exactly one of them.
pub(crate) const RESOURCE_KINDS: &[Field] = &[
    field("primitive", "The agent, as `ocf:heartbeat:IPaddr2` or `systemd:haproxy`, or `@template`.", || {
        reference("agent_or_template")
    }),
    field(
        "group",
        "Primitives that run together, in the order in which they start.",
        || json!({ "type": "array", "minItems": 1, "items": reference("id") }),
    ),
    field("clone", "The primitive or group that runs on several nodes.", || reference("id")),
    field("promotable", "The primitive or group of which some instances are promoted.", || reference("id")),
    field("template", "The agent that primitives written `@id` share with these settings.", || {
        reference("agent")
    }),
];

/// Keys of a resource beside the one that says what it is.
pub(crate) const RESOURCE: &[Field] = &[
    field("params", "Parameters of the agent.", || map_of("setting")),
    field(
        "operations",
        "Operations by name; a list where one is run in several ways.",
        || json!({ "type": ["object", "null"], "additionalProperties": one_or_list_of("operation") }),
    ),
    field("meta", "Meta attributes.", || map_of("setting")),
    field("utilization", "How much of what it needs.", || map_of("integer")),
];

/// Keys of an operation; beside them names like `OCF_CHECK_LEVEL` are allowed.
pub(crate) const OPERATION: &[Field] = &[
    field("interval", "Time between two runs; default 0s: not repeated.", || reference("duration")),
    field("timeout", "Longest time it may take.", || reference("duration")),
    field(
        "on-fail",
        "What a failure leads to.",
        || json!({ "enum": ["ignore", "block", "stop", "demote", "restart", "restart-container", "fence", "standby"] }),
    ),
    field("role", "Role in which it runs.", || reference("role")),
    field("start-delay", "Time to wait before the first run.", || reference("duration")),
    field("interval-origin", "Time that the interval is counted from.", || reference("setting")),
    field("enabled", "Whether it is run at all.", || reference("boolean")),
    field("record-pending", "Whether it is recorded before it has ended.", || reference("boolean")),
    field("description", "A remark.", || reference("text")),
];

/// Keys that say what a constraint is: exactly one of them.
pub(crate) const CONSTRAINT_KINDS: &[Field] = &[
    field("location", "The resource that is wanted on some nodes, or not.", || reference("id")),
    field("order", "Resources in the order in which they start; a list inside it: in any order.", || {
        json!({ "type": "array", "minItems": 1, "items": { "anyOf": [
            reference("id"),
            { "type": "array", "minItems": 1, "items": reference("id") },
            reference("resource_set"),
        ] } })
    }),
    field(
        "colocation",
        "Resources that run together: each goes where the next one is.",
        || json!({ "type": "array", "minItems": 2, "items": reference("id") }),
    ),
];

/// Keys of a location constraint.
pub(crate) const LOCATION: &[Field] = &[
    field("node", "The node.", || reference("name")),
    field("rule", "Which nodes: a condition on node attributes.", || reference("rule")),
    field("score", "How much: INFINITY, -INFINITY or a number.", || reference("score")),
    field("score_attribute", "With a rule: the node attribute whose value is the score.", || {
        reference("text")
    }),
    field("role", "Only for instances in this role.", || reference("role")),
    field(
        "resource_discovery",
        "Whether nodes are probed for the resource.",
        || json!({ "enum": ["always", "never", "exclusive"] }),
    ),
];

/// Keys of an order constraint.
pub(crate) const ORDER: &[Field] = &[
    field(
        "kind",
        "Mandatory (default), Optional or Serialize.",
        || json!({ "enum": ["Mandatory", "Optional", "Serialize"] }),
    ),
    field("symmetrical", "Whether stopping goes the other way round.", || reference("boolean")),
    field("first_action", "What of the first must be done; default start.", || reference("order_action")),
    field("then_action", "What of the second may be done then; default: as first_action.", || {
        reference("order_action")
    }),
];

/// Keys of a colocation constraint.
pub(crate) const COLOCATION: &[Field] = &[
    field("score", "How much; default INFINITY.", || reference("score")),
    field("role", "Only for instances of the first in this role.", || reference("role")),
    field("with_role", "Only where the second has this role.", || reference("role")),
];

/// Keys of any constraint.
pub(crate) const CONSTRAINT: &[Field] =
    &[field("id", "Its id; default: made from what it says.", || reference("id"))];

/// Keys of a set inside an order.
pub(crate) const RESOURCE_SET: &[Field] = &[
    field(
        "resources",
        "The members.",
        || json!({ "type": "array", "minItems": 1, "items": reference("id") }),
    ),
    field("sequential", "Whether the members are ordered among themselves; default true.", || {
        reference("boolean")
    }),
    field("require_all", "Whether all members must be active; default true.", || reference("boolean")),
    field("action", "What of the members must be done; default start.", || reference("order_action")),
];

/// Keys of a comparison inside a rule.
pub(crate) const RULE_EXPRESSION: &[Field] = &[
    field("attribute", "Name of the node attribute.", || reference("text")),
    field(
        "operation",
        "How it is compared.",
        || json!({ "enum": ["lt", "gt", "lte", "gte", "eq", "ne", "defined", "not_defined"] }),
    ),
    field("value", "What it is compared with.", || reference("text")),
    field(
        "type",
        "As what the two are read.",
        || json!({ "enum": ["string", "integer", "number", "version"] }),
    ),
];

/// Meta attributes that Pacemaker knows; others are passed on, but near misses of these are refused.
pub(crate) const KNOWN_META: &[&str] = &[
    "allow-migrate",
    "allow-unhealthy-nodes",
    "clone-max",
    "clone-min",
    "clone-node-max",
    "container-attribute-target",
    "critical",
    "failure-timeout",
    "globally-unique",
    "interleave",
    "is-managed",
    "maintenance",
    "migration-threshold",
    "multiple-active",
    "notify",
    "ordered",
    "priority",
    "promoted-max",
    "promoted-node-max",
    "remote-addr",
    "remote-allow-migrate",
    "remote-connect-timeout",
    "remote-node",
    "remote-port",
    "requires",
    "resource-stickiness",
    "target-role",
];
