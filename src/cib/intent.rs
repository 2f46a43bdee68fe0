//! A digest of what people and hactl have put into a CIB, without what Pacemaker itself keeps there.
//!
//! In: a CIB. Out: a digest that stays the same while only status, membership and Pacemaker's own bookkeeping change.

use super::model::{Cib, Section};
use super::xml::Element;
use crate::facts::Digest;

/// Cluster properties that Pacemaker writes itself.
const OWN_PROPERTIES: [&str; 5] =
    ["dc-version", "have-watchdog", "cluster-infrastructure", "cluster-name", "last-lrm-refresh"];
/// The property set in which hactl switches maintenance mode on while it restarts the stack.
pub const ROLLOUT_SET: &str = "hactl-rollout";

/// The digest of the configuration, apart from nodes, Pacemaker's own properties and the rollout's property set.
#[must_use]
pub fn intent_digest(cib: &Cib) -> Digest {
    let mut text = String::new();
    for section in Section::ALL.into_iter().filter(|section| *section != Section::Nodes) {
        let Some(element) = cib.section(section) else { continue };
        let mut kept = String::new();
        for child in element.elements().filter(|child| child.id() != Some(ROLLOUT_SET)) {
            if section == Section::CrmConfig {
                kept.push_str(&properties(child));
            } else {
                kept.push_str(&child.render());
            }
        }
        if !kept.is_empty() {
            text.push_str(section.as_str());
            text.push_str(&kept);
        }
    }
    Digest::of(text.as_bytes())
}

/// A property set without Pacemaker's own properties; empty when nothing else is in it.
fn properties(set: &Element) -> String {
    let mut set = set.clone();
    set.children.retain(|node| {
        node.as_element()
            .is_none_or(|pair| !pair.attr("name").is_some_and(|name| OWN_PROPERTIES.contains(&name)))
    });
    if set.elements().next().is_none() { String::new() } else { set.render() }
}
