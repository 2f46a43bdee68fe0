//! Resources in Pacemaker's own terms.
//!
//! In: a mapping of ids. Out: resources that are right in themselves; what they refer to is noted for later.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decoder::{Decoder, Fields, RefersTo};
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::resources::{
    Agent, OnFail, Operation, Primitive, PrimitiveSource, Resource, ResourceKind, Role,
};
use crate::inventory::secret::Setting;
use crate::inventory::suggest::listed;
use crate::inventory::tree::{Entry, Node};
use crate::inventory::value::{ResourceId, parse_duration};

/// How roles are written, the names of Pacemaker before 2.1 included.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("Started", Role::Started),
    ("Stopped", Role::Stopped),
    ("Promoted", Role::Promoted),
    ("Unpromoted", Role::Unpromoted),
    ("Master", Role::Promoted),
    ("Slave", Role::Unpromoted),
];

const ON_FAIL: &[(&str, OnFail)] = &[
    ("ignore", OnFail::Ignore),
    ("block", OnFail::Block),
    ("stop", OnFail::Stop),
    ("demote", OnFail::Demote),
    ("restart", OnFail::Restart),
    ("restart-container", OnFail::RestartContainer),
    ("fence", OnFail::Fence),
    ("standby", OnFail::Standby),
];

impl Decoder<'_> {
    /// A mapping of resources by id.
    pub(crate) fn resources(&mut self, node: &Node) -> BTreeMap<ResourceId, Resource> {
        let mut resources = BTreeMap::new();
        for entry in self.entries(node, "`resources`").unwrap_or_default() {
            match ResourceId::new(entry.key.clone()) {
                Ok(id) => resources.extend(self.resource(&id, entry).map(|resource| (id, resource))),
                Err(error) => {
                    self.report(Diagnostic::new("bad-name", error.to_string()).at(entry.key_span));
                }
            }
        }
        resources
    }

    fn resource(&mut self, id: &ResourceId, entry: &Entry) -> Option<Resource> {
        let what = format!("resource `{id}`");
        let keys = self.fields(&entry.value, &what, &[fields::RESOURCE_KINDS, fields::RESOURCE])?;
        let kind = self.only_one(keys, entry, &what, fields::RESOURCE_KINDS)?;
        let meta = keys.get("meta").map(|node| self.settings(node, "`meta`", fields::KNOWN_META));
        let is_primitive = matches!(kind.key.as_str(), "primitive" | "template");
        for key in ["params", "operations", "utilization"] {
            if let Some(entry) = keys.entry(key)
                && !is_primitive
            {
                let message = format!("{what} is a {}: it has no `{key}`", kind.key);
                let help = "write it at the primitives that it is made of";
                self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help(help));
            }
        }
        let kind = match kind.key.as_str() {
            "primitive" => ResourceKind::Primitive(self.primitive(&kind.value, keys, &what)?),
            "template" => ResourceKind::Template(self.primitive(&kind.value, keys, &what)?),
            "group" => ResourceKind::Group { members: self.group(&kind.value, &what)? },
            promotable => ResourceKind::Clone {
                resource: self.resource_id(&kind.value, &format!("`{promotable}` of {what}"), &what)?,
                promotable: promotable == "promotable",
            },
        };
        Some(Resource { id: id.clone(), kind, meta: meta.unwrap_or_default() })
    }

    /// The one key of this table that is there.
    pub(crate) fn only_one<'n>(
        &mut self,
        keys: Fields<'n>,
        entry: &Entry,
        what: &str,
        table: &[fields::Field],
    ) -> Option<&'n Entry> {
        let present: Vec<&Entry> =
            keys.entries().iter().filter(|entry| table.iter().any(|field| field.name == entry.key)).collect();
        let names = table.iter().map(|field| field.name);
        match present.as_slice() {
            [only] => Some(only),
            [] => {
                let message = format!("{what} does not say what it is");
                let help = format!("write one of {}", listed(names));
                self.report(Diagnostic::new("missing-key", message).at(entry.value.blame()).help(help));
                None
            }
            [first, second, ..] => {
                let message = format!("{what} is both `{}` and `{}`", first.key, second.key);
                let problem = Diagnostic::new("wrong-type", message).at(second.key_span);
                self.report(problem.help(format!("it is exactly one of {}", listed(names))));
                None
            }
        }
    }

    fn primitive(&mut self, source: &Node, keys: Fields<'_>, what: &str) -> Option<Primitive> {
        let params = keys.get("params").map(|node| self.settings(node, &format!("`params` of {what}"), &[]));
        let operations = keys.get("operations").map(|node| self.operations(node, what));
        let utilization = keys.get("utilization").map(|node| self.utilization(node, "`utilization`"));
        let text = self.text(source, &format!("the agent of {what}"))?;
        let source = if let Some(template) = text.strip_prefix('@') {
            let template = match ResourceId::new(template) {
                Ok(id) => id,
                Err(error) => {
                    self.report(Diagnostic::new("bad-value", error.to_string()).at(source.blame()));
                    return None;
                }
            };
            self.refer(RefersTo::Resource, template.as_str(), source.span, what);
            PrimitiveSource::Template(template)
        } else {
            PrimitiveSource::Agent(self.parse::<Agent>(source, what)?)
        };
        Some(Primitive {
            source,
            params: params.unwrap_or_default(),
            operations: operations.unwrap_or_default(),
            utilization: utilization.unwrap_or_default(),
        })
    }

    fn group(&mut self, node: &Node, what: &str) -> Option<Vec<ResourceId>> {
        let items = self.items(node, &format!("the group of {what}"))?;
        if items.is_empty() {
            let message = format!("{what} is a group without members");
            self.report(Diagnostic::new("bad-value", message).at(node.blame()).help("write `group: [a, b]`"));
            return None;
        }
        let members: Vec<Option<ResourceId>> =
            items.iter().map(|item| self.resource_id(item, "a member", what)).collect();
        members.into_iter().collect()
    }

    /// The id of a resource that is defined elsewhere; `from` is what names it.
    pub(crate) fn resource_id(&mut self, node: &Node, what: &str, from: &str) -> Option<ResourceId> {
        let id = self.parse::<ResourceId>(node, what)?;
        self.refer(RefersTo::Resource, id.as_str(), node.span, from);
        Some(id)
    }

    fn operations(&mut self, node: &Node, what: &str) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        for entry in self.entries(node, &format!("`operations` of {what}")).unwrap_or_default() {
            if !self.setting_name(entry, "`operations`") {
                continue;
            }
            for node in self.one_or_many(&entry.value) {
                let Some(operation) = self.operation(&entry.key, node) else { continue };
                let twin =
                    |other: &Operation| other.name == operation.name && other.interval == operation.interval;
                if operations.iter().any(twin) {
                    let message = format!("{what} runs `{}` twice with the same interval", entry.key);
                    let place = node.get("interval").map_or(node.blame(), |entry| entry.key_span);
                    let help =
                        "Pacemaker tells operations of one name apart by their intervals: make them differ";
                    self.report(Diagnostic::new("duplicate", message).at(place).help(help));
                    continue;
                }
                operations.push(operation);
            }
        }
        operations
    }

    fn operation(&mut self, name: &str, node: &Node) -> Option<Operation> {
        let what = format!("operation `{name}`");
        let mut operation = Operation {
            name: name.to_owned(),
            interval: Duration::ZERO,
            timeout: None,
            on_fail: None,
            role: None,
            other: BTreeMap::new(),
        };
        for entry in self.entries(node, &what)? {
            let value = &entry.value;
            let of = format!("`{}` of {what}", entry.key);
            match entry.key.as_str() {
                "interval" => {
                    operation.interval = self.parse_with(value, &of, parse_duration).unwrap_or_default();
                }
                "timeout" => operation.timeout = self.parse_with(value, &of, parse_duration),
                "on-fail" => operation.on_fail = self.choice(value, &of, ON_FAIL),
                "role" => operation.role = self.choice(value, &of, ROLES),
                key => {
                    let names = fields::OPERATION.iter().map(|field| field.name);
                    if !names.clone().any(|name| name == key) && !is_agent_variable(key) {
                        self.unknown_key(entry, &what, names);
                        continue;
                    }
                    let setting: Option<Setting> = self.setting(value, &of);
                    operation.other.extend(setting.map(|setting| (key.to_owned(), setting)));
                }
            }
        }
        Some(operation)
    }

    /// A role.
    pub(crate) fn role(&mut self, node: &Node, what: &str) -> Option<Role> {
        self.choice(node, what, ROLES)
    }

    /// An id given to a constraint.
    pub(crate) fn own_id(&mut self, keys: Fields<'_>) -> Option<ResourceId> {
        keys.get("id").and_then(|node| self.parse(node, "`id`"))
    }
}

/// Operations may carry variables for the agent, which are written in capitals: `OCF_CHECK_LEVEL`.
fn is_agent_variable(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
