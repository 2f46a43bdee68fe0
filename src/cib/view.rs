//! The configuration with names for the things in it.
//!
//! In: a [`Cib`]. Out: borrowed views of its properties, nodes, resources, constraints, fencing levels and tags, for
//! status, import and lint. What has no view is still in the tree, reachable by [`Cib::section`]. Never changes
//! anything: that is what the constructors are for.

use std::collections::BTreeMap;

use super::model::{Cib, Section};
use super::xml::Element;

/// Values by name.
pub type Values<'a> = BTreeMap<&'a str, &'a str>;

/// The nvpairs of an object's sets of one kind. Of a name that several sets have, the first counts, as in Pacemaker
/// for sets without rules and scores.
fn values<'a>(object: &'a Element, kind: &'a str) -> Values<'a> {
    let mut found = Values::new();
    for pair in object.named(kind).flat_map(|set| set.named("nvpair")) {
        if let (Some(name), Some(value)) = (pair.attr("name"), pair.attr("value")) {
            found.entry(name).or_insert(value);
        }
    }
    found
}

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// One instance.
    Primitive,
    /// Primitives together, in order.
    Group,
    /// The same on several nodes; also the `<master>` of old.
    Clone,
    /// Containers.
    Bundle,
    /// A pattern for primitives.
    Template,
}

/// A resource, at whatever depth.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a>(&'a Element);

impl<'a> ResourceView<'a> {
    fn of(element: &'a Element) -> Option<Self> {
        let known = matches!(
            element.name.as_str(),
            "primitive" | "group" | "clone" | "master" | "bundle" | "template"
        );
        known.then_some(Self(element))
    }

    /// Its element.
    #[must_use]
    pub const fn element(self) -> &'a Element {
        self.0
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> &'a str {
        self.0.id().unwrap_or_default()
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self.0.name.as_str() {
            "group" => ResourceKind::Group,
            "clone" | "master" => ResourceKind::Clone,
            "bundle" => ResourceKind::Bundle,
            "template" => ResourceKind::Template,
            _ => ResourceKind::Primitive,
        }
    }

    /// Its agent, as `ocf:heartbeat:IPaddr2`; `None` for what has none of its own.
    #[must_use]
    pub fn agent(self) -> Option<String> {
        let (class, name) = (self.0.attr("class")?, self.0.attr("type")?);
        Some(match self.0.attr("provider") {
            Some(provider) => format!("{class}:{provider}:{name}"),
            None => format!("{class}:{name}"),
        })
    }

    /// Whether it is a fencing device.
    #[must_use]
    pub fn is_stonith(self) -> bool {
        self.0.attr("class") == Some("stonith")
    }

    /// The template it is made from.
    #[must_use]
    pub fn template(self) -> Option<&'a str> {
        self.0.attr("template")
    }

    /// The agent's parameters.
    #[must_use]
    pub fn params(self) -> Values<'a> {
        values(self.0, "instance_attributes")
    }

    /// Its meta-attributes.
    #[must_use]
    pub fn meta(self) -> Values<'a> {
        values(self.0, "meta_attributes")
    }

    /// What it uses of a node's capacity.
    #[must_use]
    pub fn utilization(self) -> Values<'a> {
        values(self.0, "utilization")
    }

    /// Its operations: name, interval and the other attributes.
    #[must_use]
    pub fn operations(self) -> Vec<Values<'a>> {
        let ops = self.0.named("operations").flat_map(|list| list.named("op"));
        ops.map(|op| op.attrs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()).collect()
    }

    /// Whether it is a clone whose instances can be promoted.
    #[must_use]
    pub fn is_promotable(self) -> bool {
        self.0.name == "master"
            || (self.kind() == ResourceKind::Clone
                && self.meta().get("promotable").is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }

    /// What is inside: the members of a group, what a clone or bundle runs.
    pub fn members(self) -> impl Iterator<Item = Self> {
        self.0.elements().filter_map(Self::of)
    }
}

/// A constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintView<'a> {
    /// Where something runs.
    Location {
        /// Its id.
        id: &'a str,
        /// The resource, or the pattern of resources; `None` when it has sets.
        rsc: Option<&'a str>,
        /// The node, when it has no rule.
        node: Option<&'a str>,
        /// The score, when it has no rule.
        score: Option<&'a str>,
    },
    /// What runs with what.
    Colocation {
        /// Its id.
        id: &'a str,
        /// What runs; `None` when it has sets.
        rsc: Option<&'a str>,
        /// With what.
        with: Option<&'a str>,
        /// The score.
        score: Option<&'a str>,
    },
    /// What comes after what.
    Order {
        /// Its id.
        id: &'a str,
        /// What is first; `None` when it has sets.
        first: Option<&'a str>,
        /// What comes then.
        then: Option<&'a str>,
        /// `Mandatory`, `Optional`, `Serialize`.
        kind: Option<&'a str>,
    },
    /// What needs which ticket.
    Ticket {
        /// Its id.
        id: &'a str,
        /// The ticket.
        ticket: &'a str,
        /// What needs it; `None` when it has sets.
        rsc: Option<&'a str>,
    },
}

fn constraint(element: &Element) -> Option<ConstraintView<'_>> {
    let id = element.id()?;
    let attr = |name| element.attr(name);
    Some(match element.name.as_str() {
        "rsc_location" => ConstraintView::Location {
            id,
            rsc: attr("rsc").or_else(|| attr("rsc-pattern")),
            node: attr("node"),
            score: attr("score"),
        },
        "rsc_colocation" => {
            ConstraintView::Colocation { id, rsc: attr("rsc"), with: attr("with-rsc"), score: attr("score") }
        }
        "rsc_order" => {
            ConstraintView::Order { id, first: attr("first"), then: attr("then"), kind: attr("kind") }
        }
        "rsc_ticket" => ConstraintView::Ticket { id, ticket: attr("ticket")?, rsc: attr("rsc") },
        _ => return None,
    })
}

/// A node, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its permanent attributes.
    pub attributes: Values<'a>,
    /// Its capacity.
    pub utilization: Values<'a>,
}

/// One level of fencing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencingLevelView<'a> {
    /// Its id.
    pub id: &'a str,
    /// The node it fences; `None` for a pattern or attribute.
    pub target: Option<&'a str>,
    /// When it is tried, from 1.
    pub index: u32,
    /// The devices that must all succeed.
    pub devices: Vec<&'a str>,
}

impl Cib {
    fn in_section(&self, section: Section) -> impl Iterator<Item = &Element> {
        self.section(section).into_iter().flat_map(Element::elements)
    }

    /// The cluster properties.
    #[must_use]
    pub fn properties(&self) -> Values<'_> {
        self.section(Section::CrmConfig)
            .map(|section| values(section, "cluster_property_set"))
            .unwrap_or_default()
    }

    /// The defaults of resources that hold everywhere: those in sets without a rule.
    #[must_use]
    pub fn rsc_defaults(&self) -> Values<'_> {
        self.defaults(Section::RscDefaults)
    }

    /// The defaults of operations that hold everywhere.
    #[must_use]
    pub fn op_defaults(&self) -> Values<'_> {
        self.defaults(Section::OpDefaults)
    }

    fn defaults(&self, section: Section) -> Values<'_> {
        let mut found = Values::new();
        for set in self.in_section(section).filter(|set| set.child("rule").is_none()) {
            for pair in set.named("nvpair") {
                if let (Some(name), Some(value)) = (pair.attr("name"), pair.attr("value")) {
                    found.entry(name).or_insert(value);
                }
            }
        }
        found
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView<'_>> {
        self.in_section(Section::Nodes)
            .filter_map(|node| {
                Some(NodeView {
                    id: node.id()?,
                    name: node.attr("uname")?,
                    attributes: values(node, "instance_attributes"),
                    utilization: values(node, "utilization"),
                })
            })
            .collect()
    }

    /// The resources at the top: what is in groups, clones and bundles is their [`ResourceView::members`].
    pub fn resources(&self) -> impl Iterator<Item = ResourceView<'_>> {
        self.in_section(Section::Resources).filter_map(ResourceView::of)
    }

    /// A resource by its id, at whatever depth.
    #[must_use]
    pub fn resource(&self, id: &str) -> Option<ResourceView<'_>> {
        let all = self.in_section(Section::Resources).flat_map(Element::walk);
        all.filter_map(ResourceView::of).find(|resource| resource.id() == id)
    }

    /// The constraints.
    pub fn constraints(&self) -> impl Iterator<Item = ConstraintView<'_>> {
        self.in_section(Section::Constraints).filter_map(constraint)
    }

    /// The fencing levels.
    #[must_use]
    pub fn fencing_levels(&self) -> Vec<FencingLevelView<'_>> {
        self.in_section(Section::FencingTopology)
            .filter_map(|level| {
                Some(FencingLevelView {
                    id: level.id()?,
                    target: level.attr("target"),
                    index: level.attr("index")?.parse().ok()?,
                    devices: level.attr("devices")?.split(',').map(str::trim).collect(),
                })
            })
            .collect()
    }

    /// The ids that each tag names.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<&str, Vec<&str>> {
        self.in_section(Section::Tags)
            .filter_map(|tag| Some((tag.id()?, tag.named("obj_ref").filter_map(Element::id).collect())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cib::tests::everything;

    #[test]
    fn the_configuration_is_seen_by_name() {
        let cib = everything();
        assert_eq!(cib.properties()["no-quorum-policy"], "freeze");
        assert_eq!((cib.rsc_defaults()["resource-stickiness"], cib.op_defaults()["timeout"]), ("100", "60s"));
        assert_eq!(cib.nodes()[0].utilization["memory"], "4096");
        let vip = cib.resource("vip").unwrap();
        assert_eq!(vip.agent().as_deref(), Some("ocf:heartbeat:IPaddr2"));
        assert_eq!((vip.params()["ip"], vip.meta()["migration-threshold"]), ("10.0.0.100", "3"));
        assert_eq!(vip.operations()[0]["interval"], "10s");
        assert!(cib.resource("fence-a").unwrap().is_stonith());
        let group = cib.resource("g-web").unwrap();
        assert_eq!(group.members().map(ResourceView::id).collect::<Vec<_>>(), ["vip", "web"]);
        assert!(cib.resource("store-clone").unwrap().is_promotable());
        assert!(!cib.resource("ping-clone").unwrap().is_promotable());
        assert_eq!(cib.resource("web").unwrap().template(), Some("web-template"));
        let kinds: Vec<_> = cib.resources().map(ResourceView::kind).collect();
        assert!(kinds.contains(&ResourceKind::Bundle) && kinds.contains(&ResourceKind::Template));
        assert!(cib.constraints().any(|found| matches!(
            found,
            ConstraintView::Order { first: Some("store-clone"), then: Some("g-web"), .. }
        )));
        assert_eq!(cib.constraints().count(), 10);
        assert_eq!(cib.fencing_levels()[0].devices, ["fence-a"]);
        assert_eq!(cib.tags()["frontend"], ["vip", "web"]);
    }
}
