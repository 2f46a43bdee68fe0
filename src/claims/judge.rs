//! Placeholder until the verdicts land.
use super::{JudgedDevice, Verdict};
use crate::facts::{BlockDevice, ClaimLedger, StableId};
use crate::inventory::ClaimPolicy;
use crate::names::NodeName;
pub fn judge(d: &[BlockDevice], p: &ClaimPolicy, l: Result<&ClaimLedger, &str>) -> Vec<JudgedDevice> {
    d.iter()
        .map(|d| {
            let identity = d.wwn.clone().map(|wwn| StableId::Wwn { wwn }).or_else(|| {
                d.serial
                    .clone()
                    .map(|serial| StableId::Serial { model: d.model.clone().unwrap_or_default(), serial })
            });
            let sigs = d.content.known().map(|c| c.signatures.clone()).unwrap_or_default();
            let entry =
                l.ok().and_then(|l| l.claims.iter().find(|(_, e)| Some(&e.identity) == identity.as_ref()));
            let verdict = if d.content.known().is_none() {
                Verdict::Unknown { why: "?".into() }
            } else if !p.device_types.contains(&d.device_type) {
                Verdict::Foreign { what: format!("type {}", d.device_type) }
            } else if d.size_bytes < p.minimum_size.0 {
                Verdict::Foreign { what: "too small".into() }
            } else if let Some((purpose, e)) = entry
                && sigs.iter().all(|s| {
                    e.expects.iter().any(|x| x.kind == s.kind && (x.uuid.is_none() || x.uuid == s.uuid))
                })
            {
                Verdict::Ours { purpose: purpose.clone(), cluster: e.cluster.clone() }
            } else if !d.mountpoints.is_empty() {
                Verdict::Foreign { what: "mounted".into() }
            } else if let Some(s) = sigs.first() {
                Verdict::Foreign { what: format!("it holds {}", s.consent()) }
            } else {
                Verdict::Unclaimed
            };
            JudgedDevice {
                name: d.name.clone(),
                identity,
                link: d.links.first().cloned(),
                verdict,
                evidence: vec![],
            }
        })
        .collect()
}
pub fn claim_help(n: &NodeName, j: &[JudgedDevice]) -> String {
    j.iter().map(|j| format!("{n}: {} {:?}\n", j.name, j.verdict)).collect()
}
