//! The attribute `fencing` and the descriptions of the agents, made into fence devices of the cluster.
//!
//! In: the attribute (valid by its schema, secrets as markers), the agents, the nodes. Out: stonith primitives, the
//! constraint that no node runs its own device, topology levels, packages; or every mistake with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{FenceAgent, FenceScope, is_pacemaker_param};
use super::error::AttributeError;
use super::fencing_attribute::{Delay, Device, FencingAttribute, ONLY_DEVICE, PLACE, asked_for, delay_of};
use super::schema::escape;
use super::view::{ClusterView, NodeView};
use crate::inventory::{
    Agent, AgentClass, Constraint, ConstraintKind, Location, LocationTarget, Operation, Primitive,
    PrimitiveSource, Resource, ResourceId, ResourceKind, Score, Setting, closest, parse_duration,
};
use crate::secrets::has_marker;

/// Parameters that, with the one that names the node, say which device it is: two nodes must differ in one of them.
const ADDRESS_PARAMS: &[&str] = &[
    "channel_address",
    "ip",
    "ipaddr",
    "ipport",
    "plug",
    "pve_node",
    "serial_device",
    "switch",
    "systems_uri",
    "target",
    "vsock",
];
/// The attribute that names SBD's disks; without any, the watchdog alone fences.
const SBD_DEVICES: &str = "/sbd/devices";
/// Where SBD's timeouts are.
const SBD_MSGWAIT: &str = "/sbd/msgwait_timeout_s";
const SBD_WATCHDOG: &str = "/sbd/watchdog_timeout_s";
/// The parameter of agents that limits how long an action takes, and what it is in seconds where nobody says (fence_sbd).
const POWER_TIMEOUT: &str = "power_timeout";
const USUAL_POWER_TIMEOUT_S: u64 = 30;
/// Time that one look at a device may take. Starting one is a first look at it; Pacemaker's default for that, 20 s, is less
/// than many management boards take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// What fences the nodes of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fencing {
    /// Why there is none, if it is switched off.
    pub disabled: Option<String>,
    /// Whether a node without quorum is reset by its own watchdog, and counts as fenced then.
    pub watchdog: bool,
    /// The devices.
    pub devices: Vec<Resource>,
    /// Where they must not run.
    pub constraints: Vec<Constraint>,
    /// In which order they are tried.
    pub levels: Vec<FencingLevel>,
    /// The packages of the agents, by node.
    pub packages: BTreeMap<crate::names::NodeName, BTreeSet<String>>,
}

/// Devices that are tried together to fence a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingLevel {
    /// The node.
    pub target: crate::names::NodeName,
    /// The level, from 1: lower ones are tried first.
    pub index: usize,
    /// The devices, all of which must succeed.
    pub devices: Vec<ResourceId>,
}

/// Works on one cluster's fencing and collects the mistakes.
struct Builder<'a> {
    agents: &'a BTreeMap<String, FenceAgent>,
    attributes: &'a Value,
    view: &'a ClusterView,
    delay: Delay,
    interval: Duration,
    fencing: Fencing,
    mistakes: Vec<AttributeError>,
}

impl Fencing {
    /// Whether Pacemaker may fence.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.devices.is_empty() || self.watchdog
    }

    /// What the attributes of a barclamp say about fencing.
    ///
    /// # Errors
    /// Every mistake.
    pub fn of(
        attributes: &Value,
        agents: &BTreeMap<String, FenceAgent>,
        view: &ClusterView,
    ) -> Result<Self, Vec<AttributeError>> {
        let written =
            attributes.get("fencing").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let attribute: FencingAttribute = serde_json::from_value(written)
            .map_err(|error| vec![AttributeError::new("bad-value", PLACE, error.to_string())])?;
        let watchdog = attributes.pointer(SBD_DEVICES).is_some_and(|devices| devices == &json!([]));
        let asked = asked_for(&attribute, watchdog, view)?;
        let delay = delay_of(&attribute, attributes, view);
        let interval =
            attribute.monitor_interval.as_deref().map_or(Ok(Duration::from_secs(60)), parse_duration);
        let interval = interval.map_err(|error| {
            vec![AttributeError::new("bad-value", format!("{PLACE}/monitor_interval"), error.to_string())]
        })?;
        let fencing = Self { disabled: attribute.disabled.clone(), watchdog, ..Self::default() };
        let mut builder =
            Builder { agents, attributes, view, delay, interval, fencing, mistakes: Vec::new() };
        let mut covered: BTreeMap<String, BTreeMap<String, ResourceId>> = BTreeMap::new();
        for (name, place, device) in &asked {
            covered.insert(name.clone(), builder.device(name, place, device));
        }
        if builder.mistakes.is_empty() && !asked.is_empty() {
            builder.coverage(&covered);
        }
        builder.levels(&attribute.levels, &covered);
        builder.check_delay_nodes();
        builder.check_property(attributes);
        if builder.mistakes.is_empty() {
            Ok(builder.fencing)
        } else {
            builder.mistakes.sort();
            builder.mistakes.dedup();
            Err(builder.mistakes)
        }
    }
}

impl Builder<'_> {
    fn fail(
        &mut self,
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let mistake = AttributeError::new(code, place, message);
        self.mistakes.push(help.into_iter().fold(mistake, |mistake, help| mistake.help(help)));
    }

    /// Makes the primitives of a device; says which node it covers with which primitive.
    fn device(&mut self, name: &str, place: &str, device: &Device) -> BTreeMap<String, ResourceId> {
        let known = self.agents.get(&device.agent);
        if known.is_none() && device.packages.is_none() {
            let names = || self.agents.keys().map(String::as_str);
            let help = match closest(&device.agent, names()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!(
                    "known are {}; for another one, say with `packages` which packages bring it",
                    names().collect::<Vec<_>>().join(", ")
                ),
            };
            self.fail(
                "bad-value",
                format!("{place}/agent"),
                format!("fence agent `{}` is not known", device.agent),
                Some(help),
            );
            return BTreeMap::new();
        }
        self.packages(device, known, place);
        let scope = known.map_or(
            if device.per_node.is_empty() { FenceScope::Cluster } else { FenceScope::Node },
            |agent| agent.scope,
        );
        self.check_nodes(&format!("{place}/per_node"), device.per_node.keys());
        if scope == FenceScope::Cluster {
            return self.shared_device(name, place, device, known);
        }
        self.distinct(place, device, known);
        let mut covered = BTreeMap::new();
        for node in &self.view.nodes {
            let Some(own) = device.per_node.get(node.name.as_str()) else { continue };
            let mut params = device.params.clone();
            params.extend(own.clone());
            let own_place = format!("{place}/per_node/{}", escape(node.name.as_str()));
            self.check_params(
                &params,
                known,
                &device.agent,
                |param| {
                    if own.contains_key(param) {
                        format!("{own_place}/{}", escape(param))
                    } else {
                        format!("{place}/params/{}", escape(param))
                    }
                },
                &own_place,
            );
            params.insert("pcmk_host_list".to_owned(), Value::String(node.name.to_string()));
            self.delays(&mut params, Some(node));
            if let Some(id) = self.primitive(&format!("{name}-{}", node.name), place, &device.agent, &params)
            {
                if self.view.nodes.len() > 1 {
                    self.keep_away(&id, node, place);
                }
                covered.insert(node.name.to_string(), id);
            }
        }
        covered
    }

    fn shared_device(
        &mut self,
        name: &str,
        place: &str,
        device: &Device,
        known: Option<&FenceAgent>,
    ) -> BTreeMap<String, ResourceId> {
        if !device.per_node.is_empty() {
            let message = format!("`{}` is one device for all nodes and has no `per_node`", device.agent);
            self.fail(
                "bad-value",
                format!("{place}/per_node"),
                message,
                Some("move its parameters to `params`".to_owned()),
            );
        }
        let mut params = device.params.clone();
        self.claimed_devices(&mut params, known);
        self.check_params(
            &params,
            known,
            &device.agent,
            |param| format!("{place}/params/{}", escape(param)),
            place,
        );
        self.delays(&mut params, None);
        match self.primitive(name, place, &device.agent, &params) {
            Some(id) => self.view.nodes.iter().map(|node| (node.name.to_string(), id.clone())).collect(),
            None => BTreeMap::new(),
        }
    }

    /// Parameters that are claimed devices.
    fn claimed_devices(&self, params: &mut BTreeMap<String, Value>, known: Option<&FenceAgent>) {
        let wanted = known.into_iter().flat_map(|agent| &agent.params);
        for (name, pointer) in wanted.filter_map(|(name, param)| Some((name, param.claims.as_ref()?))) {
            let claims = self.attributes.pointer(pointer).and_then(Value::as_array);
            let paths: Vec<&str> = claims
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .filter_map(|claim| self.view.claims.get(&self.view.founder, claim))
                .map(|device| device.path.as_str())
                .collect();
            if !paths.is_empty() {
                params.entry(name.clone()).or_insert_with(|| Value::String(paths.join(",")));
            }
            if pointer == SBD_DEVICES {
                self.message_time(params);
            }
        }
    }

    /// `sbd message` comes back when the message counts as delivered, after msgwait: an agent that waits no longer than that
    /// takes every fencing for failed.
    fn message_time(&self, params: &mut BTreeMap<String, Value>) {
        let seconds = |pointer: &str| self.attributes.pointer(pointer).and_then(Value::as_u64);
        let msgwait = seconds(SBD_MSGWAIT).or_else(|| seconds(SBD_WATCHDOG).map(|watchdog| watchdog * 2));
        let needed = msgwait.map_or(0, |msgwait| msgwait + msgwait / 2);
        if needed > USUAL_POWER_TIMEOUT_S {
            params.entry(POWER_TIMEOUT.to_owned()).or_insert_with(|| Value::from(needed));
        }
    }

    fn packages(&mut self, device: &Device, known: Option<&FenceAgent>, place: &str) {
        for node in &self.view.nodes {
            let names = device
                .packages
                .clone()
                .or_else(|| known.and_then(|agent| agent.packages.get(node.distro).cloned()));
            match names {
                Some(names) => self.fencing.packages.entry(node.name.clone()).or_default().extend(names),
                None => {
                    let message = format!(
                        "it is not known which package brings `{}` on {} (node {})",
                        device.agent,
                        node.distro.pretty(),
                        node.name
                    );
                    self.fail(
                        "bad-value",
                        format!("{place}/agent"),
                        message,
                        Some("name the packages with `packages`".to_owned()),
                    );
                }
            }
        }
    }

    fn check_nodes<'n>(&mut self, place: &str, names: impl Iterator<Item = &'n String>) {
        for name in names {
            if !self.view.nodes.iter().any(|node| node.name.as_str() == name) {
                let close = closest(name, self.view.nodes.iter().map(|node| node.name.as_str()));
                let help = close.map(|close| format!("did you mean `{close}`?"));
                let message = format!("`{name}` is not a node of cluster `{}`", self.view.name);
                self.fail("bad-value", format!("{place}/{}", escape(name)), message, help);
            }
        }
    }

    fn check_delay_nodes(&mut self) {
        let names: Vec<String> = self.delay.nodes.keys().cloned().collect();
        self.check_nodes(&format!("{PLACE}/delay/nodes"), names.iter());
    }

    /// Two nodes behind one device: fencing one would kill the other.
    fn distinct(&mut self, place: &str, device: &Device, known: Option<&FenceAgent>) {
        let Some(param) = known.and_then(|agent| agent.node_param.as_ref()) else { return };
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (node, own) in &device.per_node {
            let mut params = device.params.clone();
            params.extend(own.clone());
            params.retain(|name, _| name == param || ADDRESS_PARAMS.contains(&name.as_str()));
            if !params.contains_key(param) {
                continue;
            }
            let key = Value::Object(params.into_iter().collect()).to_string();
            if let Some(other) = seen.insert(key, node.clone()) {
                let message = format!("nodes `{other}` and `{node}` have the same fence device");
                let help = format!("each node has a `{param}` of its own");
                self.fail("bad-value", format!("{place}/per_node/{}", escape(node)), message, Some(help));
            }
        }
    }

    fn check_params(
        &mut self,
        params: &BTreeMap<String, Value>,
        known: Option<&FenceAgent>,
        agent_name: &str,
        place_of: impl Fn(&str) -> String,
        place: &str,
    ) {
        let Some(agent) = known else { return };
        for (name, value) in params {
            match agent.params.get(name) {
                Some(param) if param.secret && !value.as_str().is_some_and(has_marker) => {
                    let help = "write where it comes from: `{ env: NAME }`, `{ file: PATH }` or `{ command: [PROGRAM, ARG] }`";
                    self.fail(
                        "secret",
                        place_of(name),
                        "a secret must not be written here",
                        Some(help.to_owned()),
                    );
                }
                Some(_) => {}
                None if is_pacemaker_param(name) => {}
                None => {
                    let renamed = agent.renamed.get(name).map(|new| format!("it is called `{new}`"));
                    let close = || {
                        closest(name, agent.params.keys().map(String::as_str))
                            .map(|close| format!("did you mean `{close}`?"))
                    };
                    let help = renamed.or_else(close);
                    self.fail(
                        "unknown-key",
                        place_of(name),
                        format!("`{name}` is not a parameter of {agent_name}"),
                        help,
                    );
                }
            }
        }
        let wanted = agent.params.iter().filter(|(name, param)| {
            (param.required || agent.node_param.as_ref() == Some(*name)) && !params.contains_key(*name)
        });
        let missing: Vec<(String, String)> =
            wanted.map(|(name, param)| (name.clone(), param.summary.clone())).collect();
        for (name, summary) in missing {
            self.fail(
                "missing-key",
                place,
                format!("`{name}`, which {agent_name} needs, is missing"),
                Some(summary),
            );
        }
    }

    fn delays(&self, params: &mut BTreeMap<String, Value>, node: Option<&NodeView>) {
        if let Some(max) = &self.delay.max {
            params.entry("pcmk_delay_max".to_owned()).or_insert_with(|| Value::String(max.clone()));
        }
        let base = match node {
            Some(node) => self.delay.nodes.get(node.name.as_str()).cloned(),
            // One device for all: a delay per node is written as a list (Pacemaker 2.1.2 and later).
            None if self.delay.nodes.is_empty() => None,
            None => Some(
                self.delay
                    .nodes
                    .iter()
                    .map(|(node, delay)| format!("{node}:{delay}"))
                    .collect::<Vec<_>>()
                    .join(";"),
            ),
        };
        if let Some(base) = base {
            params.entry("pcmk_delay_base".to_owned()).or_insert(Value::String(base));
        }
    }

    fn primitive(
        &mut self,
        id: &str,
        place: &str,
        agent: &str,
        params: &BTreeMap<String, Value>,
    ) -> Option<ResourceId> {
        let id = match ResourceId::new(id) {
            Ok(id) => id,
            Err(error) => {
                self.fail("bad-value", place, error.to_string(), None);
                return None;
            }
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let params = params.iter().map(|(name, value)| (name.clone(), Setting::Text(text(value)))).collect();
        let look = |name: &str, interval| Operation {
            name: name.to_owned(),
            interval,
            timeout: Some(LOOK_TIMEOUT),
            on_fail: None,
            role: None,
            other: BTreeMap::new(),
        };
        let agent = Agent { class: AgentClass::Stonith, provider: None, name: agent.to_owned() };
        let primitive = Primitive {
            source: PrimitiveSource::Agent(agent),
            params,
            operations: vec![look("start", Duration::ZERO), look("monitor", self.interval)],
            utilization: BTreeMap::new(),
        };
        let resource =
            Resource { id: id.clone(), kind: ResourceKind::Primitive(primitive), meta: BTreeMap::new() };
        self.fencing.devices.push(resource);
        Some(id)
    }

    /// A node does not run the device that fences it.
    fn keep_away(&mut self, device: &ResourceId, node: &NodeView, place: &str) {
        match ResourceId::new(format!("{device}-not-on-{}", node.name)) {
            Ok(id) => self.fencing.constraints.push(Constraint {
                id,
                kind: ConstraintKind::Location(Location {
                    resource: device.clone(),
                    target: LocationTarget::Node { node: node.name.clone(), score: Score::MinusInfinity },
                    role: None,
                    discovery: None,
                }),
            }),
            Err(error) => self.fail("bad-value", place, error.to_string(), None),
        }
    }

    /// Every node can be fenced.
    fn coverage(&mut self, covered: &BTreeMap<String, BTreeMap<String, ResourceId>>) {
        let naked: Vec<String> = (self.view.nodes.iter())
            .map(|node| node.name.to_string())
            .filter(|node| !covered.values().any(|nodes| nodes.contains_key(node)))
            .collect();
        for node in naked {
            let place = if covered.contains_key(ONLY_DEVICE) {
                format!("{PLACE}/per_node")
            } else {
                format!("{PLACE}/devices")
            };
            let help = format!("add it below `per_node`: `{node}: {{ … }}`");
            self.fail("missing-key", place, format!("node `{node}` has no fence device"), Some(help));
        }
    }

    fn levels(&mut self, levels: &[Vec<String>], covered: &BTreeMap<String, BTreeMap<String, ResourceId>>) {
        if levels.is_empty() {
            if covered.len() > 1 {
                let help =
                    "for example `levels: [[ipmi], [pdu]]`: first ipmi, then pdu; `[[pdu1, pdu2]]`: both";
                self.fail(
                    "missing-key",
                    PLACE,
                    "there is more than one device but no `levels`",
                    Some(help.to_owned()),
                );
            }
            return;
        }
        for (index, names) in levels.iter().enumerate() {
            for (position, name) in names.iter().enumerate() {
                if !covered.contains_key(name) {
                    let help = closest(name, covered.keys().map(String::as_str))
                        .map(|close| format!("did you mean `{close}`?"));
                    self.fail(
                        "bad-value",
                        format!("{PLACE}/levels/{index}/{position}"),
                        format!("there is no device `{name}`"),
                        help,
                    );
                }
            }
        }
        for node in &self.view.nodes {
            let mut level = 0;
            for names in levels {
                let devices: Vec<ResourceId> = names
                    .iter()
                    .filter_map(|name| covered.get(name)?.get(node.name.as_str()).cloned())
                    .collect();
                // A level of which the node has only a part would report success with one of two supplies still on.
                if devices.len() == names.len() {
                    level += 1;
                    self.fencing.levels.push(FencingLevel {
                        target: node.name.clone(),
                        index: level,
                        devices,
                    });
                }
            }
        }
        for node in &self.view.nodes {
            if !self.fencing.levels.iter().any(|level| level.target == node.name) && self.mistakes.is_empty()
            {
                let message = format!("no level has all its devices for node `{}`", node.name);
                self.fail("bad-value", format!("{PLACE}/levels"), message, None);
            }
        }
    }

    /// `stonith-enabled` follows from the devices; saying it as well must not contradict them.
    fn check_property(&mut self, attributes: &Value) {
        let Some(said) = attributes.pointer("/properties/stonith-enabled") else { return };
        let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        let enabled = matches!(said.to_ascii_lowercase().as_str(), "true" | "on" | "yes" | "y" | "1");
        if enabled != self.fencing.is_enabled() {
            let message = format!("`stonith-enabled: {said}` contradicts `fencing`");
            let help = "leave the property out: it follows from `fencing`";
            self.fail("bad-value", "/properties/stonith-enabled", message, Some(help.to_owned()));
        }
    }
}
