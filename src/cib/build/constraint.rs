//! Constraints: where resources run, with what, after what, by which ticket.

use super::rule::{Rule, Score};
use crate::cib::xml::Element;

/// Resources that a constraint is about, several at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceSet {
    resources: Vec<String>,
    attrs: Vec<(String, String)>,
}

impl ResourceSet {
    /// A set of resources, in order.
    #[must_use]
    pub fn new(resources: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { resources: resources.into_iter().map(Into::into).collect(), attrs: Vec::new() }
    }

    /// An attribute (`sequential`, `require-all`, `action`, `role`).
    #[must_use]
    pub fn attr(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push((name.into(), value.into()));
        self
    }

    fn build(&self, id: String) -> Element {
        let set = Element::new("resource_set").with("id", id);
        let set = self.attrs.iter().fold(set, |set, (name, value)| set.with(name, value));
        set.with_children(self.resources.iter().map(|rsc| Element::new("resource_ref").with("id", rsc)))
    }
}

fn sets(owner: &str, sets: &[ResourceSet]) -> Vec<Element> {
    sets.iter().enumerate().map(|(index, set)| set.build(format!("{owner}-{index}"))).collect()
}

/// Where a resource may or should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(Element);

impl Location {
    /// A resource and one node.
    #[must_use]
    pub fn node(id: impl Into<String>, rsc: &str, node: &str, score: Score) -> Self {
        Self(
            Element::new("rsc_location")
                .with("id", id)
                .with("rsc", rsc)
                .with("score", score.to_string())
                .with("node", node),
        )
    }

    /// All resources whose id matches a regular expression, and one node.
    #[must_use]
    pub fn pattern(id: impl Into<String>, pattern: &str, node: &str, score: Score) -> Self {
        Self(
            Element::new("rsc_location")
                .with("id", id)
                .with("rsc-pattern", pattern)
                .with("score", score.to_string())
                .with("node", node),
        )
    }

    /// A resource, and all nodes for which a rule holds. A rule without a score means INFINITY.
    #[must_use]
    pub fn rule(id: &str, rsc: &str, rule: &Rule) -> Self {
        let mut rule = rule.build(id);
        if rule.attr("score").is_none() && rule.attr("score-attribute").is_none() {
            rule.set("score", Score::INFINITY.to_string());
        }
        Self(Element::new("rsc_location").with("id", id).with("rsc", rsc).with_child(rule))
    }

    /// The role it is about (`Promoted`).
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.0.set("role", role);
        self
    }

    /// Where it is probed whether the resource runs: `always`, `exclusive`, `never`.
    #[must_use]
    pub fn resource_discovery(mut self, discovery: &str) -> Self {
        self.0.set("resource-discovery", discovery);
        self
    }

    /// The `<rsc_location>`.
    #[must_use]
    pub fn build(&self) -> Element {
        self.0.clone()
    }
}

/// What runs together, or apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colocation(Element);

impl Colocation {
    /// `rsc` runs where `with` runs.
    #[must_use]
    pub fn new(id: impl Into<String>, rsc: &str, with: &str, score: Score) -> Self {
        Self(
            Element::new("rsc_colocation")
                .with("id", id)
                .with("score", score.to_string())
                .with("rsc", rsc)
                .with("with-rsc", with),
        )
    }

    /// Sets of resources that run together.
    #[must_use]
    pub fn sets(id: &str, score: Score, members: &[ResourceSet]) -> Self {
        let element = Element::new("rsc_colocation").with("id", id).with("score", score.to_string());
        Self(element.with_children(sets(id, members)))
    }

    /// The role in which `rsc` is meant.
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.0.set("rsc-role", role);
        self
    }

    /// The role in which `with` is meant.
    #[must_use]
    pub fn with_role(mut self, role: &str) -> Self {
        self.0.set("with-rsc-role", role);
        self
    }

    /// Any other attribute (`node-attribute`, `influence`).
    #[must_use]
    pub fn attr(mut self, name: &str, value: &str) -> Self {
        self.0.set(name, value);
        self
    }

    /// The `<rsc_colocation>`.
    #[must_use]
    pub fn build(&self) -> Element {
        self.0.clone()
    }
}

/// How strictly an order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// `then` runs only after `first`, and stops when it does.
    Mandatory,
    /// Only when both are to change at the same time.
    Optional,
    /// Never both at once, in whatever order.
    Serialize,
}

impl OrderKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mandatory => "Mandatory",
            Self::Optional => "Optional",
            Self::Serialize => "Serialize",
        }
    }
}

/// What comes after what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Element);

impl Order {
    /// `first` before `then`.
    #[must_use]
    pub fn new(id: impl Into<String>, first: &str, then: &str, kind: OrderKind) -> Self {
        Self(
            Element::new("rsc_order")
                .with("id", id)
                .with("kind", kind.as_str())
                .with("first", first)
                .with("then", then),
        )
    }

    /// Sets of resources, one after the other.
    #[must_use]
    pub fn sets(id: &str, kind: OrderKind, members: &[ResourceSet]) -> Self {
        let element = Element::new("rsc_order").with("id", id).with("kind", kind.as_str());
        Self(element.with_children(sets(id, members)))
    }

    /// What must have happened to `first` (`promote`).
    #[must_use]
    pub fn first_action(mut self, action: &str) -> Self {
        self.0.set("first-action", action);
        self
    }

    /// What then happens to `then` (`start`).
    #[must_use]
    pub fn then_action(mut self, action: &str) -> Self {
        self.0.set("then-action", action);
        self
    }

    /// Whether the reverse holds when stopping (it does unless it is said otherwise).
    #[must_use]
    pub fn symmetrical(mut self, symmetrical: bool) -> Self {
        self.0.set("symmetrical", if symmetrical { "true" } else { "false" });
        self
    }

    /// The `<rsc_order>`.
    #[must_use]
    pub fn build(&self) -> Element {
        self.0.clone()
    }
}

/// Which resources run only while the cluster holds a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket(Element);

impl Ticket {
    /// A resource and a ticket.
    #[must_use]
    pub fn new(id: impl Into<String>, ticket: &str, rsc: &str) -> Self {
        Self(Element::new("rsc_ticket").with("id", id).with("ticket", ticket).with("rsc", rsc))
    }

    /// Any other attribute (`loss-policy`, `rsc-role`).
    #[must_use]
    pub fn attr(mut self, name: &str, value: &str) -> Self {
        self.0.set(name, value);
        self
    }

    /// The `<rsc_ticket>`.
    #[must_use]
    pub fn build(&self) -> Element {
        self.0.clone()
    }
}
