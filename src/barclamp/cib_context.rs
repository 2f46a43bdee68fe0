//! The cluster's resources and constraints as the template of the CIB sees them: every id of the XML made, texts
//! plain, rules unrolled into a list of opening, comparing and closing parts.
//!
//! Ids are those that `crm` makes (`vip-instance_attributes-ip`), so that a cluster looks the same to both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster_data::ClusterData;
use super::secret_names::{node_owner, operation_id, setting_text};
use super::view::ClusterView;
use crate::inventory::{
    Colocation, Constraint, ConstraintKind, Location, LocationTarget, Operation, Order, OrderAction,
    OrderKind, OrderSubject, Primitive, PrimitiveSource, Resource, ResourceDiscovery, ResourceId,
    ResourceKind, ResourceSet, Role, Rule, RuleScore, Setting, format_duration,
};

/// Properties of an operation that are attributes of `<op>`; others become its instance attributes
/// (pacemaker's `resources-*.rng`).
const OPERATION_ATTRIBUTES: &[&str] =
    &["description", "enabled", "interval-origin", "record-pending", "start-delay"];

/// Everything that the template of the CIB sees as `cib`.
pub(super) fn cib(view: &ClusterView, data: &ClusterData) -> Value {
    let resources = data.resources();
    let inside: Vec<&ResourceId> = resources
        .values()
        .filter(|resource| matches!(resource.kind, ResourceKind::Group { .. } | ResourceKind::Clone { .. }))
        .flat_map(|resource| resource.references())
        .collect();
    let (templates, others): (Vec<&Resource>, Vec<&Resource>) = resources
        .values()
        .filter(|resource| !inside.contains(&&resource.id))
        .partition(|resource| matches!(resource.kind, ResourceKind::Template(_)));
    let tree: Vec<Value> =
        templates.into_iter().chain(others).map(|it| resource(it, &resources, view)).collect();
    let defaults = |set: &str, values: &BTreeMap<String, Setting>| {
        pairs(
            set,
            values.iter().map(|(name, setting)| (name.clone(), setting_text(&view.name, set, name, setting))),
        )
    };
    json!({
        "nodes": view.nodes.iter().map(|node| {
            let attributes = node.attributes.iter().map(|(name, setting)| (name.clone(), setting_text(&view.name, &node_owner(node.name.as_str()), name, setting)));
            let utilization = node.utilization.iter().map(|(name, amount)| (name.clone(), amount.to_string()));
            json!({
                "id": node.nodeid.to_string(),
                "uname": node.name.as_str(),
                "attributes": pairs(&format!("nodes-{}", node.nodeid), attributes),
                "utilization": pairs(&format!("nodes-{}-utilization", node.nodeid), utilization),
            })
        }).collect::<Vec<_>>(),
        "resources": tree,
        "constraints": data.constraints().map(constraint).collect::<Vec<_>>(),
        "resource_defaults": defaults("rsc-options", &view.resource_defaults),
        "operation_defaults": defaults("op-options", &view.operation_defaults),
        "fencing": {
            "enabled": data.fencing.is_enabled(),
            "levels": data.fencing.levels.iter().map(|level| json!({
                "id": format!("fencing-{}-{}", level.target, level.index),
                "target": level.target.as_str(),
                "index": level.index,
                "devices": level.devices.iter().map(ResourceId::as_str).collect::<Vec<_>>().join(","),
            })).collect::<Vec<_>>(),
        },
    })
}

/// A set of name-value pairs: `null` when there are none, so that no empty set is written.
fn pairs(set: &str, values: impl Iterator<Item = (String, String)>) -> Value {
    let pairs: Vec<Value> = values
        .map(|(name, value)| json!({ "id": format!("{set}-{name}"), "name": name, "value": value }))
        .collect();
    if pairs.is_empty() { Value::Null } else { json!({ "id": set, "pairs": pairs }) }
}

fn resource(it: &Resource, all: &BTreeMap<&ResourceId, &Resource>, view: &ClusterView) -> Value {
    let id = it.id.as_str();
    let mut meta: Vec<(String, String)> = it
        .meta
        .iter()
        .map(|(name, setting)| (name.clone(), setting_text(&view.name, id, name, setting)))
        .collect();
    let child = |id: &ResourceId| all.get(id).map(|it| resource(it, all, view));
    match &it.kind {
        ResourceKind::Primitive(primitive) => self::primitive("primitive", id, primitive, meta, view),
        ResourceKind::Template(primitive) => self::primitive("template", id, primitive, meta, view),
        ResourceKind::Group { members } => json!({
            "kind": "group", "id": id, "members": members.iter().filter_map(child).collect::<Vec<_>>(),
            "meta": pairs(&format!("{id}-meta_attributes"), meta.into_iter()),
        }),
        ResourceKind::Clone { resource, promotable } => {
            if *promotable && !meta.iter().any(|(name, _)| name == "promotable") {
                meta.push(("promotable".to_owned(), "true".to_owned()));
            }
            json!({
                "kind": "clone", "id": id, "child": child(resource),
                "meta": pairs(&format!("{id}-meta_attributes"), meta.into_iter()),
            })
        }
    }
}

fn primitive(
    element: &str,
    id: &str,
    it: &Primitive,
    meta: Vec<(String, String)>,
    view: &ClusterView,
) -> Value {
    let params =
        it.params.iter().map(|(name, setting)| (name.clone(), setting_text(&view.name, id, name, setting)));
    let utilization = it.utilization.iter().map(|(name, amount)| (name.clone(), amount.to_string()));
    let mut value = json!({
        "kind": "primitive", "element": element, "id": id,
        "params": pairs(&format!("{id}-instance_attributes"), params),
        "meta": pairs(&format!("{id}-meta_attributes"), meta.into_iter()),
        "utilization": pairs(&format!("{id}-utilization"), utilization),
        "operations": it.operations.iter().map(|it| operation(id, it, view)).collect::<Vec<_>>(),
    });
    let source: Vec<(&str, &str)> = match &it.source {
        PrimitiveSource::Template(template) => vec![("template", template.as_str())],
        PrimitiveSource::Agent(agent) => {
            let provider = agent.provider.as_deref().map(|provider| ("provider", provider));
            std::iter::once(("class", agent.class.as_str()))
                .chain(provider)
                .chain([("type", agent.name.as_str())])
                .collect()
        }
    };
    value["source"] = source.into_iter().map(|(name, value)| json!([name, value])).collect();
    value
}

fn operation(id: &str, it: &Operation, view: &ClusterView) -> Value {
    let interval = format_duration(it.interval);
    let op = operation_id(id, it);
    let other = |inside: bool| {
        let settings =
            it.other.iter().filter(move |(name, _)| OPERATION_ATTRIBUTES.contains(&name.as_str()) == inside);
        settings.map(|(name, setting)| (name.clone(), setting_text(&view.name, &op, name, setting)))
    };
    let mut attributes: Vec<Value> = Vec::new();
    let mut add = |name: &str, value: String| attributes.push(json!([name, value]));
    add("name", it.name.clone());
    add("interval", interval.clone());
    it.timeout.into_iter().for_each(|timeout| add("timeout", format_duration(timeout)));
    it.on_fail.into_iter().for_each(|on_fail| add("on-fail", spelled(&on_fail)));
    it.role.into_iter().for_each(|role| add("role", self::role(role).to_owned()));
    other(true).for_each(|(name, value)| add(&name, value));
    json!({ "id": op, "attributes": attributes, "params": pairs(&format!("{op}-instance_attributes"), other(false)) })
}

/// A word of the model as it serialises: `on-fail` values and the like are Pacemaker's own words.
fn spelled(word: &impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Started => "Started",
        Role::Stopped => "Stopped",
        Role::Promoted => "Promoted",
        Role::Unpromoted => "Unpromoted",
    }
}

/// XML attributes in order; those without a value are left out.
fn attributes<const N: usize>(list: [(&str, Option<String>); N]) -> Value {
    list.into_iter().filter_map(|(name, value)| value.map(|value| json!([name, value]))).collect()
}

fn constraint(it: &Constraint) -> Value {
    let id = it.id.as_str();
    match &it.kind {
        ConstraintKind::Location(location) => self::location(id, location),
        ConstraintKind::Order(order) => self::order(id, order),
        ConstraintKind::Colocation(colocation) => self::colocation(id, colocation),
    }
}

fn location(id: &str, it: &Location) -> Value {
    let discovery = it.discovery.map(|discovery| match discovery {
        ResourceDiscovery::Always => "always".to_owned(),
        ResourceDiscovery::Never => "never".to_owned(),
        ResourceDiscovery::Exclusive => "exclusive".to_owned(),
    });
    let own_role = it.role.map(|it| role(it).to_owned());
    let (node, score, own_role, parts) = match &it.target {
        LocationTarget::Node { node, score } => {
            (Some(node.to_string()), Some(score.to_string()), own_role, Vec::new())
        }
        LocationTarget::Rule { rule, score } => {
            let mut parts = Vec::new();
            unroll(rule, &format!("{id}-rule"), Some((score, own_role)), &mut parts);
            (None, None, None, parts)
        }
    };
    json!({
        "element": "rsc_location",
        "attributes": attributes([
            ("id", Some(id.to_owned())),
            ("rsc", Some(it.resource.to_string())),
            ("role", own_role),
            ("score", score),
            ("node", node),
            ("resource-discovery", discovery),
        ]),
        "sets": [],
        "rule": parts,
    })
}

/// A rule as opening, comparing and closing parts, in the order of the XML. `top` is there for the outermost one.
fn unroll(rule: &Rule, id: &str, top: Option<(&RuleScore, Option<String>)>, parts: &mut Vec<Value>) {
    let expression = |attribute: &str, operation: &str, rest: Vec<Value>| {
        let own = if top.is_some() { format!("{id}-expression") } else { id.to_owned() };
        let mut attributes =
            vec![json!(["id", own]), json!(["attribute", attribute]), json!(["operation", operation])];
        attributes.extend(rest);
        json!({ "part": "expression", "attributes": attributes })
    };
    let (joined, members): (Option<&str>, &[Rule]) = match rule {
        Rule::All(rules) => (Some("and"), rules),
        Rule::Any(rules) => (Some("or"), rules),
        _ => (None, &[]),
    };
    if joined.is_some() || top.is_some() {
        let (score, attribute, own_role) = match &top {
            Some((RuleScore::Score(score), role)) => (Some(score.to_string()), None, role.clone()),
            Some((RuleScore::Attribute(name), role)) => (None, Some(name.clone()), role.clone()),
            // Only the outermost score counts, but the schema wants one everywhere.
            None => (Some("0".to_owned()), None, None),
        };
        parts.push(json!({ "part": "open", "attributes": attributes([
            ("id", Some(id.to_owned())),
            ("role", own_role),
            ("score", score),
            ("score-attribute", attribute),
            ("boolean-op", joined.map(str::to_owned)),
        ]) }));
    }
    match rule {
        Rule::All(_) | Rule::Any(_) => {
            for (index, member) in members.iter().enumerate() {
                unroll(member, &format!("{id}-{index}"), None, parts);
            }
        }
        Rule::Compare { attribute, operation, value, value_type } => {
            let kind = value_type.as_ref().map(|kind| json!(["type", spelled(kind)]));
            let rest = std::iter::once(json!(["value", value])).chain(kind).collect();
            parts.push(expression(attribute, &spelled(operation), rest));
        }
        Rule::Defined(attribute) => parts.push(expression(attribute, "defined", Vec::new())),
        Rule::NotDefined(attribute) => parts.push(expression(attribute, "not_defined", Vec::new())),
    }
    if joined.is_some() || top.is_some() {
        parts.push(json!({ "part": "close" }));
    }
}

fn action(action: OrderAction) -> String {
    spelled(&action)
}

fn order(id: &str, it: &Order) -> Value {
    let kind = match it.kind {
        OrderKind::Mandatory => "Mandatory",
        OrderKind::Optional => "Optional",
        OrderKind::Serialize => "Serialize",
    };
    let symmetrical = it.symmetrical.map(|it| it.to_string());
    let (first, first_action, then, then_action, sets) = match &it.subject {
        OrderSubject::Pair { first, first_action, then, then_action } => (
            Some(first.to_string()),
            first_action.map(action),
            Some(then.to_string()),
            then_action.map(action),
            Vec::new(),
        ),
        OrderSubject::Sets(sets) => {
            let sets = sets
                .iter()
                .enumerate()
                .map(|(index, set)| self::set(&format!("{id}-{index}"), set))
                .collect();
            (None, None, None, None, sets)
        }
    };
    json!({
        "element": "rsc_order",
        "attributes": attributes([
            ("id", Some(id.to_owned())),
            ("kind", Some(kind.to_owned())),
            ("symmetrical", symmetrical),
            ("first", first),
            ("first-action", first_action),
            ("then", then),
            ("then-action", then_action),
        ]),
        "sets": sets,
        "rule": [],
    })
}

fn set(id: &str, it: &ResourceSet) -> Value {
    json!({
        "attributes": attributes([
            ("id", Some(id.to_owned())),
            ("sequential", (!it.sequential).then(|| "false".to_owned())),
            ("require-all", it.require_all.map(|it| it.to_string())),
            ("action", it.action.map(action)),
        ]),
        "members": it.members.iter().map(ResourceId::as_str).collect::<Vec<_>>(),
    })
}

fn colocation(id: &str, it: &Colocation) -> Value {
    json!({
        "element": "rsc_colocation",
        "attributes": attributes([
            ("id", Some(id.to_owned())),
            ("score", Some(it.score.to_string())),
            ("rsc", Some(it.resource.to_string())),
            ("rsc-role", it.role.map(|it| role(it).to_owned())),
            ("with-rsc", Some(it.with.to_string())),
            ("with-rsc-role", it.with_role.map(|it| role(it).to_owned())),
        ]),
        "sets": [],
        "rule": [],
    })
}
