//! Devices that are claimed explicitly, and the policy for the others.
//!
//! In: `claims` and `claim_policy`. Out: claims that say which device. Whether there is one is seen on the node.

use std::collections::{BTreeMap, BTreeSet};

use super::decoder::{Decoder, RefersTo};
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::model::{AutoClaim, ClaimPolicy, DeviceClaim, WipeConsent};
use crate::inventory::tree::{Entry, Node, Value, quoted};
use crate::names::{NodeName, RoleName};

/// Folders below which a path is an identity of the device.
const STABLE_FOLDERS: &[&str] =
    &["/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/disk/by-partuuid/", "/dev/mapper/"];

/// Keys of a claim that say which device it is.
const IDENTIFYING: &[&str] = &["path", "serial", "wwn", "eui", "model", "size", "rotational", "transport"];

impl Decoder<'_> {
    /// `claims` of a cluster.
    pub(crate) fn claims(&mut self, node: &Node) -> BTreeMap<NodeName, BTreeMap<String, DeviceClaim>> {
        let mut claims = BTreeMap::new();
        for entry in self.entries(node, "`claims`").unwrap_or_default() {
            self.refer(RefersTo::Node, &entry.key, entry.key_span, "`claims`");
            let of_node = self.claims_of_node(entry);
            if let Ok(name) = NodeName::new(entry.key.clone()) {
                claims.insert(name, of_node);
            }
        }
        claims
    }

    fn claims_of_node(&mut self, node: &Entry) -> BTreeMap<String, DeviceClaim> {
        let what = format!("`claims` of node {}", quoted(&node.key));
        let mut claims: BTreeMap<String, DeviceClaim> = BTreeMap::new();
        for entry in self.entries(&node.value, &what).unwrap_or_default() {
            // A purpose follows the rules of all other names.
            if let Err(error) = RoleName::new(entry.key.clone()) {
                let message = format!("{} cannot be the name of a claim: {}", quoted(&entry.key), error.why);
                self.report(Diagnostic::new("bad-name", message).at(entry.key_span));
                continue;
            }
            let Some(claim) = self.claim(&entry.value, &format!("claim {}", quoted(&entry.key))) else {
                continue;
            };
            if let Some((other, _)) = claims.iter().find(|(_, other)| same_device(other, &claim)) {
                let message =
                    format!("claims {} and {} are for the same device", quoted(other), quoted(&entry.key));
                let help = "one device serves one purpose";
                self.report(Diagnostic::new("claimed-twice", message).at(entry.key_span).help(help));
            }
            claims.insert(entry.key.clone(), claim);
        }
        claims
    }

    fn claim(&mut self, node: &Node, what: &str) -> Option<DeviceClaim> {
        let claim = match &node.value {
            Value::Mapping(_) => self.claim_fields(node, what)?,
            Value::Scalar { .. } | Value::Sequence(_) => {
                DeviceClaim { path: Some(self.text(node, what)?.into()), ..DeviceClaim::default() }
            }
        };
        if let Some(path) = &claim.path {
            self.check_path(node, path.as_str(), claim.unstable_path)?;
        }
        let names_one = |key: &str| node.get(key).is_some();
        if matches!(node.value, Value::Mapping(_)) && !IDENTIFYING.iter().any(|key| names_one(key)) {
            self.report(
                Diagnostic::new("missing-key", format!("{what} does not say which device"))
                    .at(node.blame())
                    .help("name a path below /dev/disk/by-id/, a serial, wwn or eui; `hactl discover` lists them"),
            );
            return None;
        }
        Some(claim)
    }

    fn claim_fields(&mut self, node: &Node, what: &str) -> Option<DeviceClaim> {
        let keys = self.fields(node, what, &[fields::CLAIM])?;
        let mut text = |key: &str| {
            keys.get(key).and_then(|node| self.text(node, &format!("`{key}` of {what}"))).map(str::to_owned)
        };
        let mut claim = DeviceClaim {
            path: text("path").map(Into::into),
            serial: text("serial"),
            wwn: text("wwn"),
            eui: text("eui"),
            model: text("model"),
            transport: text("transport"),
            ..DeviceClaim::default()
        };
        claim.size = keys.get("size").and_then(|node| self.parse(node, &format!("`size` of {what}")));
        claim.rotational = keys.get("rotational").and_then(|node| self.boolean(node, "`rotational`"));
        if let Some(node) = keys.get("wipe") {
            let items = self.one_or_many(node);
            claim.wipe =
                items.iter().filter_map(|node| self.parse_with(node, "`wipe`", wipe_consent)).collect();
        }
        if let Some(node) = keys.get("unstable_path") {
            claim.unstable_path = self.choice(node, "`unstable_path`", &[("accept", true)]).unwrap_or(false);
        }
        Some(claim)
    }

    fn check_path(&mut self, node: &Node, path: &str, unstable: bool) -> Option<()> {
        let place = node.get("path").map_or(node.blame(), |entry| entry.value.blame());
        if !path.starts_with("/dev/") || path.contains("/../") || path.ends_with('/') {
            let message = format!("{} is not the path of a device", quoted(path));
            let help = "write a path below /dev/disk/by-id/";
            self.report(Diagnostic::new("bad-value", message).at(place).help(help));
            return None;
        }
        if !unstable && !STABLE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            self.report(
                Diagnostic::new(
                    "unstable-path",
                    format!("{} may be another device after a reboot", quoted(path)),
                )
                .at(place)
                .help(
                    "name a link below /dev/disk/by-id/ or /dev/disk/by-path/, or accept the risk with \
                           `{ path: ..., unstable_path: accept }`",
                ),
            );
            return None;
        }
        Some(())
    }

    /// `claim_policy` of a cluster.
    pub(crate) fn claim_policy(&mut self, node: &Node) -> ClaimPolicy {
        let mut policy = ClaimPolicy::default();
        let Some(keys) = self.fields(node, "`claim_policy`", &[fields::CLAIM_POLICY]) else { return policy };
        if let Some(node) = keys.get("auto") {
            let choices = [("single-candidate", AutoClaim::SingleCandidate), ("never", AutoClaim::Never)];
            policy.auto = self.choice(node, "`auto`", &choices).unwrap_or(policy.auto);
        }
        if let Some(node) = keys.get("minimum_size") {
            policy.minimum_size = self.parse(node, "`minimum_size`").unwrap_or(policy.minimum_size);
        }
        if let Some(node) = keys.get("device_types") {
            let types = self.items(node, "`device_types`").unwrap_or_default();
            let types: BTreeSet<String> =
                types.iter().filter_map(|node| self.text(node, "a device type")).map(str::to_owned).collect();
            policy.device_types = types;
        }
        policy
    }
}

/// Whether two claims name the same identity, so that they are for one device.
fn same_device(a: &DeviceClaim, b: &DeviceClaim) -> bool {
    fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
        a.is_some() && a == b
    }
    same(a.path.as_ref(), b.path.as_ref())
        || same(a.serial.as_ref(), b.serial.as_ref())
        || same(a.wwn.as_ref(), b.wwn.as_ref())
        || same(a.eui.as_ref(), b.eui.as_ref())
}

/// `type/uuid`: what is on the device and may be lost.
fn wipe_consent(text: &str) -> Result<WipeConsent, String> {
    match text.split_once('/') {
        Some((kind, uuid)) if !kind.is_empty() && !uuid.is_empty() && !text.contains(char::is_whitespace) => {
            Ok(WipeConsent { kind: kind.to_owned(), uuid: uuid.to_owned() })
        }
        _ => Err(format!(
            "`{text}` does not name what may be lost: write `type/uuid` as `hactl discover` prints it"
        )),
    }
}
