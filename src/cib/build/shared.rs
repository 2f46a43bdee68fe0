//! What is neither resource nor constraint: properties, defaults, node attributes, fencing levels, tags, ACLs, alerts.

use super::id_part;
use super::rule::Rule;
use super::sets::{Pairs, nvpair, set};
use crate::cib::model::{Cib, Section};
use crate::cib::xml::{Element, Node};

impl Cib {
    /// Wants a cluster property, in the set that every tool uses (`cib-bootstrap-options`).
    pub fn set_property(&mut self, name: &str, value: &str) {
        put_pair(
            self.section_mut(Section::CrmConfig),
            "cluster_property_set",
            "cib-bootstrap-options",
            name,
            value,
        );
    }

    /// Wants a default of all resources (`rsc-options`, as in crmsh).
    pub fn set_rsc_default(&mut self, name: &str, value: &str) {
        put_pair(self.section_mut(Section::RscDefaults), "meta_attributes", "rsc-options", name, value);
    }

    /// Wants a default of all operations (`op-options`, as in crmsh).
    pub fn set_op_default(&mut self, name: &str, value: &str) {
        put_pair(self.section_mut(Section::OpDefaults), "meta_attributes", "op-options", name, value);
    }

    /// Wants defaults that hold only where a rule does, as a set of its own.
    pub fn put_defaults(&mut self, section: Section, id: &str, rule: &Rule, pairs: &[(&str, &str)]) {
        let nvpairs = pairs.iter().map(|(name, value)| nvpair(id, name, value));
        let defaults = Element::new("meta_attributes").with("id", id).with_child(rule.build(id));
        self.put(section, defaults.with_children(nvpairs));
    }

    /// Wants an attribute of a node. `id` is corosync's number of the node (for a remote node, its name).
    pub fn set_node_attribute(&mut self, id: &str, uname: &str, name: &str, value: &str) {
        let set = format!("nodes-{}", id_part(id));
        put_pair(self.node_mut(id, uname), "instance_attributes", &set, name, value);
    }

    /// Wants a capacity of a node.
    pub fn set_node_utilization(&mut self, id: &str, uname: &str, name: &str, value: &str) {
        let set = format!("nodes-{}-utilization", id_part(id));
        put_pair(self.node_mut(id, uname), "utilization", &set, name, value);
    }

    fn node_mut(&mut self, id: &str, uname: &str) -> &mut Element {
        let nodes = self.section_mut(Section::Nodes);
        let found = |node: &Element| node.name == "node" && node.attr("uname") == Some(uname);
        child_or_new(nodes, found, || Element::new("node").with("id", id).with("uname", uname))
    }
}

fn put_pair(parent: &mut Element, kind: &str, set: &str, name: &str, value: &str) {
    let set_element = child_or_new(
        parent,
        |element| element.name == kind && element.id() == Some(set),
        || Element::new(kind).with("id", set),
    );
    let pair = nvpair(set, name, value);
    let place = child_or_new(set_element, |found| found.id() == pair.id(), || pair.clone());
    *place = pair;
}

fn child_or_new(
    parent: &mut Element,
    found: impl Fn(&Element) -> bool,
    new: impl FnOnce() -> Element,
) -> &mut Element {
    let is_it = |node: &Node| node.as_element().is_some_and(&found);
    let index = parent.children.iter().position(is_it).unwrap_or_else(|| {
        parent.children.push(Node::Element(new()));
        parent.children.len() - 1
    });
    match &mut parent.children[index] {
        Node::Element(element) => element,
        // `index` is that of an element, found or made above.
        Node::Comment(_) => unreachable!("the index is that of an element"),
    }
}

/// A level of fencing: the devices that fence `target` together, tried in the order of `index` (from 1).
#[must_use]
pub fn fencing_level(target: &str, index: u32, devices: &[impl AsRef<str>]) -> Element {
    let devices: Vec<&str> = devices.iter().map(AsRef::as_ref).collect();
    Element::new("fencing-level")
        .with("id", format!("fencing-{}-{index}", id_part(target)))
        .with("target", target)
        .with("index", index.to_string())
        .with("devices", devices.join(","))
}

/// A tag: a name for several objects.
#[must_use]
pub fn tag(id: &str, objects: &[impl AsRef<str>]) -> Element {
    let refs = objects.iter().map(|id| Element::new("obj_ref").with("id", id.as_ref()));
    Element::new("tag").with("id", id).with_children(refs)
}

/// A role of access control; each permission is a kind (`read`, `write`, `deny`) and an XPath.
#[must_use]
pub fn acl_role(id: &str, permissions: &[(&str, &str)]) -> Element {
    let permissions = permissions.iter().enumerate().map(|(index, (kind, xpath))| {
        Element::new("acl_permission")
            .with("id", format!("{id}-{}", index + 1))
            .with("kind", *kind)
            .with("xpath", *xpath)
    });
    Element::new("acl_role").with("id", id).with_children(permissions)
}

fn acl_member(kind: &str, id: &str, roles: &[impl AsRef<str>]) -> Element {
    let roles = roles.iter().map(|role| Element::new("role").with("id", role.as_ref()));
    Element::new(kind).with("id", id).with_children(roles)
}

/// The roles of a user.
#[must_use]
pub fn acl_target(user: &str, roles: &[impl AsRef<str>]) -> Element {
    acl_member("acl_target", user, roles)
}

/// The roles of a group of users.
#[must_use]
pub fn acl_group(group: &str, roles: &[impl AsRef<str>]) -> Element {
    acl_member("acl_group", group, roles)
}

/// An alert: a program that is told what happens, and whom it tells.
#[must_use]
pub fn alert(
    id: &str,
    path: &str,
    options: &[(&str, &str)],
    meta: &[(&str, &str)],
    recipients: &[&str],
) -> Element {
    let pairs = |pairs: &[(&str, &str)]| -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let recipients = recipients.iter().enumerate().map(|(index, value)| {
        Element::new("recipient").with("id", format!("{id}-recipient-{}", index + 1)).with("value", *value)
    });
    Element::new("alert")
        .with("id", id)
        .with("path", path)
        .with_children(set("meta_attributes", id, &pairs(meta)))
        .with_children(set("instance_attributes", id, &pairs(options)))
        .with_children(recipients)
}
