//! The devices that purposes got.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::ClaimRequest;
use super::uuid::derived_uuid;
use crate::facts::{ClaimEntry, ExpectedSignature, Signature, StableId};
use crate::names::{ClusterName, NodeName};

/// A device that serves a purpose on a node, with all that must still be so when it is first written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedDevice {
    /// What for, as the ledger calls it.
    pub purpose: String,
    /// Its name below `claims` in the inventory.
    pub claim: String,
    /// The name to use it by: a link that survives a reboot wherever there is one.
    pub path: String,
    /// Which device it is.
    pub identity: StableId,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its kernel name when it was seen.
    pub name: String,
    /// The UUID for what is put on it: it follows from the claim, so that what a killed run left is recognised.
    pub uuid: String,
    /// What its user puts on it.
    pub expects: Vec<ExpectedSignature>,
    /// What is on it.
    pub found: Vec<Signature>,
    /// Whether what is on it goes, because the inventory names it and consents.
    pub wipe: bool,
    /// Whether the node's ledger says all this already.
    pub recorded: bool,
}

impl ClaimedDevice {
    /// Its entry in the ledger of its node.
    #[must_use]
    pub fn entry(&self, cluster: &ClusterName) -> ClaimEntry {
        ClaimEntry {
            cluster: cluster.to_string(),
            identity: self.identity.clone(),
            size_bytes: self.size_bytes,
            expects: self.expects.clone(),
        }
    }

    /// What is left on it once what the inventory gives up is gone.
    #[must_use]
    pub fn kept(&self) -> &[Signature] {
        if self.wipe { &[] } else { &self.found }
    }

    /// A stand-in for a device on a node that nobody has looked at: what is rendered with it is never applied.
    #[must_use]
    pub fn placeholder(cluster: &ClusterName, node: &NodeName, request: &ClaimRequest) -> Self {
        let path = format!("/dev/disk/by-id/{}", request.claim);
        let identity = StableId::Unstable { path: path.clone() };
        let uuid = derived_uuid(cluster, node, &request.purpose, &identity);
        Self {
            purpose: request.purpose.clone(),
            claim: request.claim.clone(),
            path,
            identity,
            size_bytes: request.minimum_bytes,
            name: request.claim.clone(),
            uuid,
            expects: Vec::new(),
            found: Vec::new(),
            wipe: false,
            recorded: false,
        }
    }
}

/// Every device that was claimed in a cluster: by node, then by its name below `claims` in the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<NodeName, BTreeMap<String, ClaimedDevice>>);

impl Claims {
    /// Adds a device; the name was free on this node.
    pub fn insert(&mut self, node: NodeName, device: ClaimedDevice) {
        self.0.entry(node).or_default().insert(device.claim.clone(), device);
    }

    /// The device of this name on a node.
    #[must_use]
    pub fn get(&self, node: &NodeName, claim: &str) -> Option<&ClaimedDevice> {
        self.0.get(node)?.get(claim)
    }

    /// Every device with its node.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &ClaimedDevice)> {
        self.0.iter().flat_map(|(node, devices)| devices.values().map(move |device| (node, device)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The devices of a node as templates see them, by their names in the inventory.
    #[must_use]
    pub fn for_templates(&self, node: &NodeName) -> Value {
        let devices = self.0.get(node).into_iter().flatten();
        devices
            .map(|(claim, device)| {
                let seen = json!({
                    "path": device.path,
                    "identity": device.identity.to_string(),
                    "size_bytes": device.size_bytes,
                    "uuid": device.uuid,
                });
                (claim.clone(), seen)
            })
            .collect::<serde_json::Map<String, Value>>()
            .into()
    }

    /// Stand-ins for all that is asked for (see [`ClaimedDevice::placeholder`]).
    #[must_use]
    pub fn placeholders(cluster: &ClusterName, requests: &[ClaimRequest]) -> Self {
        let mut claims = Self::default();
        for request in requests {
            for node in &request.nodes {
                claims.insert(node.clone(), ClaimedDevice::placeholder(cluster, node, request));
            }
        }
        claims
    }
}
