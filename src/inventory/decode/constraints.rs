//! Constraints: where, in which order, beside what.
//!
//! In: a list. Out: constraints with ids; a colocation of several becomes pairs. What they refer to is noted.

use std::collections::{BTreeMap, BTreeSet};

use super::decoder::{Decoder, Fields, RefersTo};
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::resources::{
    Colocation, Constraint, ConstraintKind, Location, LocationTarget, Order, OrderAction, OrderKind,
    OrderSubject, Resource, ResourceDiscovery, ResourceSet, RuleScore,
};
use crate::inventory::tree::{Entry, Node, Value};
use crate::inventory::value::{ResourceId, Score};
use crate::names::NodeName;

const ACTIONS: &[(&str, OrderAction)] = &[
    ("start", OrderAction::Start),
    ("stop", OrderAction::Stop),
    ("promote", OrderAction::Promote),
    ("demote", OrderAction::Demote),
];

/// A constraint whose id has still to be found.
struct Draft {
    kind: ConstraintKind,
    /// The id that its writer gave it, and where.
    given: Option<(ResourceId, Option<crate::inventory::diagnostic::Span>)>,
    /// The id that follows from what it says.
    derived: String,
    span: Option<crate::inventory::diagnostic::Span>,
}

impl Decoder<'_> {
    /// The list of constraints. Ids must differ from each other and from those of resources.
    pub(crate) fn constraints(
        &mut self,
        node: &Node,
        resources: &BTreeMap<ResourceId, Resource>,
    ) -> Vec<Constraint> {
        let mut drafts = Vec::new();
        for item in self.items(node, "`constraints`").unwrap_or_default() {
            drafts.extend(self.constraint(item));
        }
        let mut taken: BTreeSet<ResourceId> = resources.keys().cloned().collect();
        for draft in &drafts {
            if let Some((id, span)) = &draft.given
                && !taken.insert(id.clone())
            {
                let message = format!("the id `{id}` is used twice in this cluster");
                let help = "resources and constraints share their ids: choose another, or leave it out";
                self.report(Diagnostic::new("duplicate-id", message).at(*span).help(help));
            }
        }
        drafts.into_iter().filter_map(|draft| self.finish(draft, &mut taken)).collect()
    }

    fn finish(&mut self, draft: Draft, taken: &mut BTreeSet<ResourceId>) -> Option<Constraint> {
        if let Some((id, _)) = draft.given {
            return Some(Constraint { id, kind: draft.kind });
        }
        for number in 1_usize.. {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            match ResourceId::new(format!("{}{suffix}", draft.derived)) {
                Ok(id) if taken.insert(id.clone()) => return Some(Constraint { id, kind: draft.kind }),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let message = "no id can be made for this constraint: the ids it names are too long";
        self.report(Diagnostic::new("bad-name", message).at(draft.span).help("give it one: `id: NAME`"));
        None
    }

    fn constraint(&mut self, node: &Node) -> Vec<Draft> {
        let what = "a constraint";
        let Value::Mapping(_) = &node.value else {
            self.wrong_type(node, what, "a mapping", "write for example `{ order: [a, b] }`");
            return Vec::new();
        };
        let has = |key: &str| node.get(key).is_some();
        let table = match (has("location"), has("order"), has("colocation")) {
            (true, false, false) => fields::LOCATION,
            (false, true, false) => fields::ORDER,
            (false, false, true) => fields::COLOCATION,
            _ => &[],
        };
        let tables: Vec<&[fields::Field]> = if table.is_empty() {
            vec![
                fields::CONSTRAINT_KINDS,
                fields::CONSTRAINT,
                fields::LOCATION,
                fields::ORDER,
                fields::COLOCATION,
            ]
        } else {
            vec![fields::CONSTRAINT_KINDS, fields::CONSTRAINT, table]
        };
        let name = if table.is_empty() { "a constraint" } else { kind_name(node) };
        let Some(keys) = self.fields(node, name, &tables) else { return Vec::new() };
        let owner = Entry { key: String::new(), key_span: node.span, value: node.clone() };
        let Some(kind) = self.only_one(keys, &owner, what, fields::CONSTRAINT_KINDS) else {
            return Vec::new();
        };
        let given = self.own_id(keys).map(|id| (id, keys.get("id").and_then(|node| node.span)));
        let drafts = match kind.key.as_str() {
            "location" => self.location(kind, keys).into_iter().collect(),
            "order" => self.order(kind, keys).into_iter().collect(),
            _ => self.colocations(kind, keys),
        };
        let several = drafts.len() > 1;
        let numbered = drafts.into_iter().enumerate().map(|(index, (kind, derived))| Draft {
            kind,
            derived,
            given: given.as_ref().and_then(|(id, span)| {
                let id =
                    if several { ResourceId::new(format!("{id}-{}", index + 1)).ok()? } else { id.clone() };
                Some((id, *span))
            }),
            span: node.span,
        });
        numbered.collect()
    }

    fn location(&mut self, kind: &Entry, keys: Fields<'_>) -> Option<(ConstraintKind, String)> {
        let resource = self.constrained(&kind.value, "`location`", "a location constraint");
        let role = keys.get("role").and_then(|node| self.role(node, "`role`"));
        let discovery = keys.get("resource_discovery").and_then(|node| {
            let choices = [
                ("always", ResourceDiscovery::Always),
                ("never", ResourceDiscovery::Never),
                ("exclusive", ResourceDiscovery::Exclusive),
            ];
            self.choice(node, "`resource_discovery`", &choices)
        });
        let score = keys.get("score").map(|node| self.parse::<Score>(node, "`score`"));
        let target = match (keys.get("node"), keys.entry("rule")) {
            (Some(node), None) => self.location_node(node, keys, score),
            (None, Some(rule)) => self.location_rule(rule, keys, score),
            (Some(_), Some(rule)) => {
                let message = "a location constraint has either `node` or `rule`";
                self.report(
                    Diagnostic::new("wrong-type", message).at(rule.key_span).help("write two constraints"),
                );
                None
            }
            (None, None) => {
                let message = "a location constraint says which nodes: `node` or `rule` is missing";
                self.report(
                    Diagnostic::new("missing-key", message).at(kind.key_span).help("write `node: NAME`"),
                );
                None
            }
        };
        let (resource, target) = (resource?, target?);
        let derived = match &target {
            LocationTarget::Node { node, .. } => format!("location-{resource}-{node}"),
            LocationTarget::Rule { .. } => format!("location-{resource}-rule"),
        };
        Some((ConstraintKind::Location(Location { resource, target, role, discovery }), derived))
    }

    fn location_node(
        &mut self,
        node: &Node,
        keys: Fields<'_>,
        score: Option<Option<Score>>,
    ) -> Option<LocationTarget> {
        if let Some(entry) = keys.entry("score_attribute") {
            let message = "`score_attribute` goes with `rule` only";
            self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help("write `score`"));
        }
        let name = self.parse::<NodeName>(node, "`node`");
        if let Some(name) = &name {
            self.refer(RefersTo::Node, name.as_str(), node.span, "a location constraint");
        }
        if score.is_none() {
            self.missing_score(keys);
        }
        Some(LocationTarget::Node { node: name?, score: score?? })
    }

    fn location_rule(
        &mut self,
        rule: &Entry,
        keys: Fields<'_>,
        score: Option<Option<Score>>,
    ) -> Option<LocationTarget> {
        let decoded = self.rule(&rule.value);
        let score = match (score, keys.entry("score_attribute")) {
            (Some(score), None) => score.map(RuleScore::Score),
            (None, Some(entry)) => {
                let attribute = self.text(&entry.value, "`score_attribute`");
                attribute.map(|attribute| RuleScore::Attribute(attribute.to_owned()))
            }
            (Some(_), Some(entry)) => {
                let message = "a rule has either `score` or `score_attribute`";
                self.report(
                    Diagnostic::new("wrong-type", message).at(entry.key_span).help("keep one of them"),
                );
                None
            }
            (None, None) => {
                self.missing_score(keys);
                None
            }
        };
        Some(LocationTarget::Rule { rule: decoded?, score: score? })
    }

    fn missing_score(&mut self, keys: Fields<'_>) {
        let place = keys.entry("location").and_then(|entry| entry.key_span);
        let message = "a location constraint says how much: `score` is missing";
        let help = "INFINITY: there only; -INFINITY: never there; a number: how much it is preferred";
        self.report(Diagnostic::new("missing-key", message).at(place).help(help));
    }

    fn order(&mut self, kind: &Entry, keys: Fields<'_>) -> Option<(ConstraintKind, String)> {
        let order_kind = keys.get("kind").and_then(|node| {
            let choices = [
                ("Mandatory", OrderKind::Mandatory),
                ("Optional", OrderKind::Optional),
                ("Serialize", OrderKind::Serialize),
            ];
            self.choice(node, "`kind`", &choices)
        });
        let symmetrical = keys.get("symmetrical").and_then(|node| self.boolean(node, "`symmetrical`"));
        let first_action =
            keys.get("first_action").and_then(|node| self.choice(node, "`first_action`", ACTIONS));
        let then_action =
            keys.get("then_action").and_then(|node| self.choice(node, "`then_action`", ACTIONS));
        let sets = self.order_sets(&kind.value)?;
        let names: Vec<&ResourceId> = sets.iter().flat_map(|set| &set.members).collect();
        let (Some(first), Some(last)) = (names.first(), names.last()) else { return None };
        let derived = format!("order-{first}-{last}");
        if names.len() < 2 {
            let message = "an order needs at least two resources";
            self.report(
                Diagnostic::new("bad-value", message).at(kind.key_span).help("write `order: [a, b]`"),
            );
            return None;
        }
        let simple = |set: &ResourceSet| set.sequential && set.require_all.is_none() && set.action.is_none();
        let subject = match sets.as_slice() {
            [set] if set.members.len() == 2 && simple(set) => OrderSubject::Pair {
                first: set.members[0].clone(),
                first_action,
                then: set.members[1].clone(),
                then_action,
            },
            _ => {
                for key in ["first_action", "then_action"] {
                    if let Some(entry) = keys.entry(key) {
                        let message = format!("`{key}` goes with an order of two only");
                        let help = "write `{ resources: [a, b], action: promote }` inside the order";
                        self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help(help));
                    }
                }
                OrderSubject::Sets(sets)
            }
        };
        let kind = order_kind.unwrap_or(OrderKind::Mandatory);
        Some((ConstraintKind::Order(Order { subject, kind, symmetrical }), derived))
    }

    /// Neighbouring plain ids form one sequential set, an inner list is a set in any order.
    fn order_sets(&mut self, node: &Node) -> Option<Vec<ResourceSet>> {
        let from = "an order constraint";
        let mut sets: Vec<ResourceSet> = Vec::new();
        let mut open = false;
        let mut complete = true;
        let mut seen: BTreeSet<ResourceId> = BTreeSet::new();
        for item in self.items(node, "`order`")? {
            let (members, options) = match &item.value {
                Value::Scalar { .. } => (std::slice::from_ref(item), None),
                Value::Sequence(members) => (members.as_slice(), None),
                Value::Mapping(_) => {
                    let keys = self.fields(item, "a set of an order", &[fields::RESOURCE_SET])?;
                    let Some(members) = keys.get("resources") else {
                        self.missing(item, "a set of an order", "resources", "write `resources: [a, b]`");
                        return None;
                    };
                    (self.items(members, "`resources`")?, Some(keys))
                }
            };
            let members: Vec<Option<ResourceId>> =
                members.iter().map(|member| self.unique_member(member, from, &mut seen)).collect();
            complete &= !members.is_empty() && members.iter().all(Option::is_some);
            let members: Vec<ResourceId> = members.into_iter().flatten().collect();
            match (&item.value, sets.last_mut()) {
                (Value::Scalar { .. }, Some(last)) if open => last.members.extend(members),
                _ => sets.push(self.resource_set(members, &item.value, options)),
            }
            open = matches!(item.value, Value::Scalar { .. });
        }
        if sets.is_empty() {
            let message = "an order needs at least two resources";
            self.report(Diagnostic::new("bad-value", message).at(node.blame()).help("write `order: [a, b]`"));
        }
        complete.then_some(sets)
    }

    /// The id of a resource that a constraint names.
    fn constrained(&mut self, node: &Node, what: &str, from: &str) -> Option<ResourceId> {
        let id = self.parse::<ResourceId>(node, what)?;
        self.refer(RefersTo::Constrained, id.as_str(), node.span, from);
        Some(id)
    }

    fn unique_member(
        &mut self,
        node: &Node,
        from: &str,
        seen: &mut BTreeSet<ResourceId>,
    ) -> Option<ResourceId> {
        let id = self.constrained(node, "a resource", from)?;
        if !seen.insert(id.clone()) {
            let message = format!("`{id}` is named twice in one constraint");
            self.report(Diagnostic::new("duplicate", message).at(node.span));
            return None;
        }
        Some(id)
    }

    fn resource_set(
        &mut self,
        members: Vec<ResourceId>,
        item: &Value,
        options: Option<Fields<'_>>,
    ) -> ResourceSet {
        let mut set = ResourceSet {
            members,
            sequential: !matches!(item, Value::Sequence(_)),
            require_all: None,
            action: None,
        };
        if let Some(keys) = options {
            if let Some(node) = keys.get("sequential") {
                set.sequential = self.boolean(node, "`sequential`").unwrap_or(true);
            }
            set.require_all = keys.get("require_all").and_then(|node| self.boolean(node, "`require_all`"));
            set.action = keys.get("action").and_then(|node| self.choice(node, "`action`", ACTIONS));
        }
        set
    }

    fn colocations(&mut self, kind: &Entry, keys: Fields<'_>) -> Vec<(ConstraintKind, String)> {
        let score = match keys.get("score") {
            Some(node) => self.parse::<Score>(node, "`score`"),
            None => Some(Score::Infinity),
        };
        let role = keys.get("role").and_then(|node| self.role(node, "`role`"));
        let with_role = keys.get("with_role").and_then(|node| self.role(node, "`with_role`"));
        let Some(items) = self.items(&kind.value, "`colocation`") else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let members: Vec<Option<ResourceId>> =
            items.iter().map(|item| self.unique_member(item, "a colocation constraint", &mut seen)).collect();
        if members.len() < 2 {
            let message = "a colocation needs at least two resources";
            let help = "write `colocation: [a, b]`: a runs where b runs";
            self.report(Diagnostic::new("bad-value", message).at(kind.key_span).help(help));
        }
        if members.len() > 2
            && let Some(entry) = keys.entry("role").or(keys.entry("with_role"))
        {
            let message = format!("`{}` goes with a colocation of two only", entry.key);
            self.report(
                Diagnostic::new("unknown-key", message).at(entry.key_span).help("write one for each pair"),
            );
        }
        let Some(score) = score else { return Vec::new() };
        let pairs = members.windows(2).filter_map(|pair| match pair {
            [Some(resource), Some(with)] => {
                let derived = format!("colocation-{resource}-{with}");
                let (resource, with) = (resource.clone(), with.clone());
                Some((
                    ConstraintKind::Colocation(Colocation { resource, role, with, with_role, score }),
                    derived,
                ))
            }
            _ => None,
        });
        pairs.collect()
    }
}

/// What to call a constraint of a known kind.
fn kind_name(node: &Node) -> &'static str {
    if node.get("location").is_some() {
        "a location constraint"
    } else if node.get("order").is_some() {
        "an order constraint"
    } else {
        "a colocation constraint"
    }
}
