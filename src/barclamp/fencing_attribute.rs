//! The attribute `fencing` as it is written, and which devices it asks for.
//!
//! In: the attribute, valid by its schema. Out: the devices by name with their places, and the delays.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::error::AttributeError;
use super::schema::escape;
use super::view::ClusterView;

/// The attribute's place below the barclamp's attributes.
pub(super) const PLACE: &str = "/fencing";
/// Name of the only device when the inventory gives it none.
pub(super) const ONLY_DEVICE: &str = "fence";
/// How much longer than its peer the first of two nodes lives when both fence each other, unless the inventory says
/// otherwise: without a difference both die (pacemaker-fenced(7), `pcmk_delay_base`).
const TWO_NODE_DELAY: &str = "5s";

/// The attribute.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FencingAttribute {
    pub(super) disabled: Option<String>,
    pub(super) agent: Option<String>,
    #[serde(default)]
    pub(super) params: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) per_node: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) packages: Option<Vec<String>>,
    #[serde(default)]
    pub(super) devices: BTreeMap<String, Device>,
    #[serde(default)]
    pub(super) levels: Vec<Vec<String>>,
    pub(super) delay: Option<Delay>,
    pub(super) monitor_interval: Option<String>,
}

/// One kind of device.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub(super) agent: String,
    #[serde(default)]
    pub(super) params: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) per_node: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) packages: Option<Vec<String>>,
}

/// Time that passes before a node is fenced.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delay {
    pub(super) max: Option<String>,
    #[serde(default)]
    pub(super) nodes: BTreeMap<String, String>,
}

/// The devices that are asked for: name, place, settings.
pub(super) fn asked_for(
    attribute: &FencingAttribute,
    watchdog: bool,
    view: &ClusterView,
) -> Result<Vec<(String, String, Device)>, Vec<AttributeError>> {
    let fail =
        |code, message: &str, help: &str| Err(vec![AttributeError::new(code, PLACE, message).help(help)]);
    let only = attribute.agent.as_ref().map(|agent| Device {
        agent: agent.clone(),
        params: attribute.params.clone(),
        per_node: attribute.per_node.clone(),
        packages: attribute.packages.clone(),
    });
    if only.is_none()
        && !(attribute.params.is_empty() && attribute.per_node.is_empty() && attribute.packages.is_none())
    {
        return fail(
            "missing-key",
            "there are parameters but no `agent`",
            "name the fence agent, for example `agent: fence_ipmilan`",
        );
    }
    if only.is_some() && !attribute.devices.is_empty() {
        return fail(
            "bad-value",
            "`agent` and `devices` are both there",
            "move the agent below `devices` and give it a name",
        );
    }
    let named = attribute
        .devices
        .iter()
        .map(|(name, device)| (name.clone(), format!("{PLACE}/devices/{}", escape(name)), device.clone()));
    let asked: Vec<_> = only
        .into_iter()
        .map(|device| (ONLY_DEVICE.to_owned(), PLACE.to_owned(), device))
        .chain(named)
        .collect();
    if watchdog && view.nodes.len() == 2 {
        return fail(
            "bad-value",
            "SBD without disks cannot fence one of two nodes: neither half of a split has a majority",
            "claim a shared disk for it (`sbd: { devices: [sbd] }`), or set up another fence device instead of `sbd`",
        );
    }
    match (&attribute.disabled, asked.is_empty() && !watchdog) {
        (Some(_), false) => fail("bad-value", "fencing is both set up and disabled", "remove one of the two"),
        (None, true) if view.nodes.len() > 1 => fail(
            "missing-key",
            "a cluster of more than one node needs fencing: without it, a node that cannot be reached blocks or corrupts what it ran",
            "set `agent` (`hactl barclamp show pacemaker` lists them), or say why not: `disabled: \"reason\"`",
        ),
        _ => Ok(asked),
    }
}

/// The delays, with what two nodes need.
pub(super) fn delay_of(attribute: &FencingAttribute, attributes: &Value, view: &ClusterView) -> Delay {
    let by_priority = attributes.pointer("/properties/priority-fencing-delay").is_some();
    match (&attribute.delay, view.nodes.as_slice()) {
        (Some(delay), _) => delay.clone(),
        (None, [first, _]) if !by_priority => {
            Delay { max: None, nodes: BTreeMap::from([(first.name.to_string(), TWO_NODE_DELAY.to_owned())]) }
        }
        (None, _) => Delay::default(),
    }
}
