//! Primitives, groups, clones, bundles and templates.

use std::fmt;
use std::str::FromStr;

use super::id_part;
use super::sets::{Pairs, set};
use crate::cib::xml::Element;

/// What runs a resource: `ocf:heartbeat:IPaddr2`, `systemd:nginx`, `stonith:fence_ipmilan`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agent {
    /// `ocf`, `systemd`, `stonith`, `lsb`, `service`, `nagios`.
    pub class: String,
    /// The provider, with class `ocf` only.
    pub provider: Option<String>,
    /// The agent's name.
    pub name: String,
}

/// A text that does not name an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no resource agent: write class:name, or ocf:provider:name")]
pub struct AgentError(pub String);

impl FromStr for Agent {
    type Err = AgentError;

    /// Reads `class:name` or `ocf:provider:name`; `ocf:name` means `ocf:heartbeat:name`, as in crmsh. The name of a
    /// systemd unit may hold colons.
    fn from_str(text: &str) -> Result<Self, AgentError> {
        let fail = || AgentError(text.to_owned());
        let (class, rest) = text.split_once(':').ok_or_else(fail)?;
        let (provider, name) = match (class, rest.split_once(':')) {
            ("ocf", Some((provider, name))) => (Some(provider), name),
            ("ocf", None) => (Some("heartbeat"), rest),
            _ => (None, rest),
        };
        if class.is_empty() || name.is_empty() || provider == Some("") {
            return Err(fail());
        }
        Ok(Self { class: class.to_owned(), provider: provider.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{}:{provider}:{}", self.class, self.name),
            None => write!(f, "{}:{}", self.class, self.name),
        }
    }
}

impl Agent {
    fn put(&self, mut element: Element) -> Element {
        element.set("class", &self.class);
        if let Some(provider) = &self.provider {
            element.set("provider", provider);
        }
        element.with("type", &self.name)
    }
}

/// An operation of a primitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    name: String,
    interval: String,
    attrs: Vec<(String, String)>,
    params: Pairs,
    meta: Pairs,
}

impl Op {
    /// An operation and its interval (`0s` for those that are not repeated).
    #[must_use]
    pub fn new(name: impl Into<String>, interval: impl Into<String>) -> Self {
        let (name, interval) = (name.into(), interval.into());
        Self { name, interval, attrs: Vec::new(), params: Pairs::new(), meta: Pairs::new() }
    }

    /// Its timeout, such as `20s`.
    #[must_use]
    pub fn timeout(self, timeout: impl Into<String>) -> Self {
        self.attr("timeout", timeout)
    }

    /// The role it is for (`Promoted`, `Unpromoted`).
    #[must_use]
    pub fn role(self, role: impl Into<String>) -> Self {
        self.attr("role", role)
    }

    /// What to do when it fails (`restart`, `fence`, `block` …).
    #[must_use]
    pub fn on_fail(self, on_fail: impl Into<String>) -> Self {
        self.attr("on-fail", on_fail)
    }

    /// Any other attribute (`start-delay`, `enabled`, `record-pending`, `description` …).
    #[must_use]
    pub fn attr(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.attrs.retain(|(found, _)| *found != name);
        self.attrs.push((name, value.into()));
        self
    }

    /// A parameter for this operation only, such as `OCF_CHECK_LEVEL`.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.insert(name.into(), value.into());
        self
    }

    /// A meta-attribute of the operation.
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(name.into(), value.into());
        self
    }

    fn build(&self, owner: &str) -> Element {
        let role = self.attrs.iter().find(|(name, _)| name == "role").map(|(_, role)| role);
        let mut id = format!("{owner}-{}-{}", id_part(&self.name), id_part(&self.interval));
        if let Some(role) = role {
            id = format!("{id}-{}", id_part(role));
        }
        let mut op =
            Element::new("op").with("id", &id).with("name", &self.name).with("interval", &self.interval);
        for (name, value) in &self.attrs {
            op.set(name, value);
        }
        op.with_children(set("instance_attributes", &id, &self.params)).with_children(set(
            "meta_attributes",
            &id,
            &self.meta,
        ))
    }
}

/// What primitives and templates have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    id: String,
    description: Option<String>,
    params: Pairs,
    meta: Pairs,
    utilization: Pairs,
    ops: Vec<Op>,
}

impl Body {
    fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            description: None,
            params: Pairs::new(),
            meta: Pairs::new(),
            utilization: Pairs::new(),
            ops: Vec::new(),
        }
    }

    fn build(&self, mut element: Element) -> Element {
        if let Some(description) = &self.description {
            element.set("description", description);
        }
        let operations = (!self.ops.is_empty()).then(|| {
            let ops = self.ops.iter().map(|op| op.build(&self.id));
            Element::new("operations").with_children(ops)
        });
        element
            .with_children(set("instance_attributes", &self.id, &self.params))
            .with_children(set("meta_attributes", &self.id, &self.meta))
            .with_children(set("utilization", &self.id, &self.utilization))
            .with_children(operations)
    }
}

macro_rules! body_methods {
    () => {
        /// A parameter of the agent. The value may hold the marker of a secret.
        #[must_use]
        pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.body.params.insert(name.into(), value.into());
            self
        }

        /// A meta-attribute.
        #[must_use]
        pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.body.meta.insert(name.into(), value.into());
            self
        }

        /// What it uses of a node's capacity.
        #[must_use]
        pub fn utilization(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.body.utilization.insert(name.into(), value.into());
            self
        }

        /// An operation.
        #[must_use]
        pub fn op(mut self, op: Op) -> Self {
            self.body.ops.push(op);
            self
        }

        /// A remark for people.
        #[must_use]
        pub fn description(mut self, text: impl Into<String>) -> Self {
            self.body.description = Some(text.into());
            self
        }
    };
}

/// A primitive resource, also a fencing device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primitive {
    body: Body,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Agent(Agent),
    Template(String),
}

impl Primitive {
    /// A primitive run by an agent.
    #[must_use]
    pub fn new(id: impl Into<String>, agent: Agent) -> Self {
        Self { body: Body::new(id), kind: Kind::Agent(agent) }
    }

    /// A primitive made from the template with the given id.
    #[must_use]
    pub fn from_template(id: impl Into<String>, template: impl Into<String>) -> Self {
        Self { body: Body::new(id), kind: Kind::Template(template.into()) }
    }

    body_methods!();

    /// The `<primitive>`.
    #[must_use]
    pub fn build(&self) -> Element {
        let element = Element::new("primitive").with("id", &self.body.id);
        self.body.build(match &self.kind {
            Kind::Agent(agent) => agent.put(element),
            Kind::Template(template) => element.with("template", template),
        })
    }
}

/// A template for primitives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    body: Body,
    agent: Agent,
}

impl Template {
    /// A template of primitives that the agent runs.
    #[must_use]
    pub fn new(id: impl Into<String>, agent: Agent) -> Self {
        Self { body: Body::new(id), agent }
    }

    body_methods!();

    /// The `<template>`.
    #[must_use]
    pub fn build(&self) -> Element {
        self.body.build(self.agent.put(Element::new("template").with("id", &self.body.id)))
    }
}

/// A group: primitives that run together, started in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    id: String,
    meta: Pairs,
    members: Vec<Primitive>,
}

impl Group {
    /// An empty group. Pacemaker wants at least one member.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), meta: Pairs::new(), members: Vec::new() }
    }

    /// A member, after those that are there.
    #[must_use]
    pub fn member(mut self, member: Primitive) -> Self {
        self.members.push(member);
        self
    }

    /// A meta-attribute of the group.
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(name.into(), value.into());
        self
    }

    /// The `<group>`.
    #[must_use]
    pub fn build(&self) -> Element {
        Element::new("group")
            .with("id", &self.id)
            .with_children(set("meta_attributes", &self.id, &self.meta))
            .with_children(self.members.iter().map(Primitive::build))
    }
}

/// A clone: a primitive or group that runs on several nodes at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneResource {
    id: String,
    meta: Pairs,
    inner: Element,
}

impl CloneResource {
    /// A clone of a primitive.
    #[must_use]
    pub fn of_primitive(id: impl Into<String>, primitive: &Primitive) -> Self {
        Self { id: id.into(), meta: Pairs::new(), inner: primitive.build() }
    }

    /// A clone of a group.
    #[must_use]
    pub fn of_group(id: impl Into<String>, group: &Group) -> Self {
        Self { id: id.into(), meta: Pairs::new(), inner: group.build() }
    }

    /// A meta-attribute (`clone-max`, `interleave`, `notify`, `promoted-max` …).
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(name.into(), value.into());
        self
    }

    /// Makes it promotable: its instances have the roles Promoted and Unpromoted.
    #[must_use]
    pub fn promotable(self) -> Self {
        self.meta("promotable", "true")
    }

    /// The `<clone>`.
    #[must_use]
    pub fn build(&self) -> Element {
        Element::new("clone")
            .with("id", &self.id)
            .with_children(set("meta_attributes", &self.id, &self.meta))
            .with_child(self.inner.clone())
    }
}

/// A bundle: a container image run as a resource, with a primitive inside if wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    id: String,
    meta: Pairs,
    container: Element,
    network: Element,
    storage: Element,
    primitive: Option<Primitive>,
}

impl Bundle {
    /// A bundle run by `engine` (`podman`, `docker`) from `image`.
    #[must_use]
    pub fn new(id: impl Into<String>, engine: &str, image: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            meta: Pairs::new(),
            container: Element::new(engine).with("image", image),
            network: Element::new("network"),
            storage: Element::new("storage"),
            primitive: None,
        }
    }

    /// An attribute of the container (`replicas`, `promoted-max`, `network`, `options`, `run-command` …).
    #[must_use]
    pub fn container(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.container.set(name, value);
        self
    }

    /// An attribute of the network (`ip-range-start`, `control-port`, `host-interface`, `host-netmask` …).
    #[must_use]
    pub fn network(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.network.set(name, value);
        self
    }

    /// A port of the host that leads into the container.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        let id = format!("{}-port-{port}", self.id);
        let mapping = Element::new("port-mapping").with("id", id).with("port", port.to_string());
        self.network = self.network.with_child(mapping);
        self
    }

    /// A directory of the host that is seen inside the container.
    #[must_use]
    pub fn mount(mut self, source: &str, target: &str, options: Option<&str>) -> Self {
        let id = format!("{}-storage{}", self.id, id_part(target).replace('_', "-"));
        let mut mapping = Element::new("storage-mapping")
            .with("id", id)
            .with("source-dir", source)
            .with("target-dir", target);
        if let Some(options) = options {
            mapping.set("options", options);
        }
        self.storage = self.storage.with_child(mapping);
        self
    }

    /// A meta-attribute.
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(name.into(), value.into());
        self
    }

    /// The primitive that runs inside.
    #[must_use]
    pub fn primitive(mut self, primitive: Primitive) -> Self {
        self.primitive = Some(primitive);
        self
    }

    /// The `<bundle>`.
    #[must_use]
    pub fn build(&self) -> Element {
        let filled = |element: &Element| {
            (!element.attrs.is_empty() || !element.children.is_empty()).then(|| element.clone())
        };
        Element::new("bundle")
            .with("id", &self.id)
            .with_children(set("meta_attributes", &self.id, &self.meta))
            .with_child(self.container.clone())
            .with_children(filled(&self.network))
            .with_children(filled(&self.storage))
            .with_children(self.primitive.as_ref().map(Primitive::build))
    }
}
