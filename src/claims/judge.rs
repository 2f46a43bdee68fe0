//! The verdict on every device of a node. Pure.
//!
//! A device that the ledger of claims names is judged by what its claim expects; every other one is free only when each
//! condition was looked at and holds. Whatever could not be determined speaks against a device.

use super::findings::{Finding, Users, Weight, findings};
use super::identity::{Identities, map_over};
use super::own_use::strange_use;
use super::{JudgedDevice, Verdict};
use crate::facts::{BlockDevice, ClaimEntry, ClaimLedger, DeviceContent, ExpectedSignature, Fact, Signature};
use crate::inventory::{ByteSize, ClaimPolicy};

/// What a device that is ours is allowed to show.
const OF_USE: [&str; 5] = ["mounted", "holders", "users", "signature", "exclusive"];

/// The verdict on every device, in the order of the devices. Without the ledger nothing is free: the device may be
/// claimed already.
#[must_use]
pub fn judge(
    devices: &[BlockDevice],
    policy: &ClaimPolicy,
    ledger: Result<&ClaimLedger, &str>,
) -> Vec<JudgedDevice> {
    let identities = Identities::of(devices);
    devices
        .iter()
        .map(|device| {
            let identity = identities.identify(device);
            let mut seen = findings(device, devices, policy, &identity);
            let claimed = claimed(device, devices, &identities, ledger);
            let verdict = match &claimed {
                Claimed::By(purpose, entry) => Some(of_claimed(purpose, entry, device, devices)),
                Claimed::Not | Claimed::Unclear(_) => None,
            };
            if let Some(Verdict::Ours { .. }) = verdict {
                // Its users were looked at one by one, and are its own.
                seen.iter_mut()
                    .filter(|finding| OF_USE.contains(&finding.about))
                    .for_each(|it| it.weight = Weight::Clear);
            }
            seen.push(ledger_finding(&claimed, verdict.as_ref()));
            JudgedDevice {
                name: device.name.clone(),
                link: identities.best_link(device, &identity),
                identity: identity.stable().cloned(),
                verdict: verdict.unwrap_or_else(|| of_findings(&seen)),
                evidence: seen.into_iter().map(Finding::evidence).collect(),
            }
        })
        .collect()
}

/// What the ledger says of a device.
enum Claimed<'l> {
    Not,
    By(&'l str, &'l ClaimEntry),
    Unclear(String),
}

fn claimed<'l>(
    device: &BlockDevice,
    devices: &[BlockDevice],
    identities: &Identities<'_>,
    ledger: Result<&'l ClaimLedger, &str>,
) -> Claimed<'l> {
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(why) => return Claimed::Unclear(format!("which devices are claimed is not known: {why}")),
    };
    // The map is what was claimed, never one of its paths.
    if map_over(device, devices).is_some() {
        return Claimed::Not;
    }
    let entries: Vec<_> =
        ledger.claims.iter().filter(|(_, entry)| identities.is(device, &entry.identity)).collect();
    match entries[..] {
        [] => match ledger.claims.iter().find(|(_, entry)| identities.may_be(device, &entry.identity)) {
            Some((purpose, entry)) => {
                let why = "is not the only device of that name, and the ledger does not say which";
                Claimed::Unclear(format!("{} is claimed for {purpose}; this {why}", entry.identity))
            }
            None => Claimed::Not,
        },
        [(purpose, entry)] => {
            let twin = devices.iter().find(|other| {
                other.name != device.name
                    && map_over(other, devices).is_none()
                    && identities.is(other, &entry.identity)
            });
            match twin {
                Some(twin) => Claimed::Unclear(format!(
                    "{} is {} as well, claimed for {purpose}",
                    twin.name, entry.identity
                )),
                None => Claimed::By(purpose, entry),
            }
        }
        ref several => {
            let purposes: Vec<&str> = several.iter().map(|(purpose, _)| purpose.as_str()).collect();
            Claimed::Unclear(format!("the ledger has it twice, for {}", purposes.join(" and for ")))
        }
    }
}

/// The verdict on a device that the ledger names.
fn of_claimed(purpose: &str, entry: &ClaimEntry, device: &BlockDevice, devices: &[BlockDevice]) -> Verdict {
    let foreign = |what: String| Verdict::Foreign { what: format!("claimed for {purpose}, but {what}") };
    let content = match &device.content {
        Fact::Known(content) => content,
        Fact::Unknown(why) => return Verdict::Unknown { why: format!("claimed for {purpose}, but {why}") },
    };
    if device.size_bytes < entry.size_bytes {
        let [was, is] =
            [entry.size_bytes, device.size_bytes].map(|bytes| format!("{} ({bytes} bytes)", ByteSize(bytes)));
        return foreign(format!("it had {was} then and has {is} now"));
    }
    if let Some(strange) = unexpected(&entry.expects, content) {
        return foreign(format!("ledger and signature disagree: it holds {}", strange.consent()));
    }
    if let Some(strange) = strange_use(purpose, device, content, &Users::of(device, devices)) {
        return foreign(strange);
    }
    Verdict::Ours { purpose: purpose.to_owned(), cluster: entry.cluster.clone() }
}

/// The first signature that the claim's user does not put there.
fn unexpected<'c>(expects: &[ExpectedSignature], content: &'c DeviceContent) -> Option<&'c Signature> {
    content.signatures.iter().find(|found| !is_expected(expects, found, &content.signatures))
}

/// What stands for whatever its user's users put there.
const ANYTHING: &str = "any";

/// Whether a signature is one that the claim's user puts there. `any` is whatever lies on a volume whose metadata, which
/// the claim expects as well, is there.
pub(super) fn is_expected(expects: &[ExpectedSignature], found: &Signature, all: &[Signature]) -> bool {
    let names = |expected: &ExpectedSignature, found: &Signature| {
        let same = |uuid: &String| found.uuid.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(uuid));
        expected.kind == found.kind && expected.uuid.as_ref().is_none_or(same)
    };
    let proven = || all.iter().any(|one| expects.iter().any(|expected| names(expected, one)));
    expects.iter().any(|expected| names(expected, found) || (expected.kind == ANYTHING && proven()))
}

fn ledger_finding(claimed: &Claimed<'_>, verdict: Option<&Verdict>) -> Finding {
    const ABOUT: &str = "ledger";
    match (claimed, verdict) {
        (Claimed::Not, _) => Finding::clear(ABOUT, "not claimed"),
        (Claimed::Unclear(why), _) => Finding::unknown(ABOUT, why),
        (Claimed::By(purpose, entry), Some(Verdict::Ours { .. }) | None) => {
            Finding::clear(ABOUT, format!("claimed for {purpose} of {}", entry.cluster))
        }
        (Claimed::By(..), Some(Verdict::Foreign { what: seen } | Verdict::Unknown { why: seen })) => {
            Finding::foreign(ABOUT, seen)
        }
        (Claimed::By(purpose, _), Some(Verdict::Unclaimed)) => Finding::clear(ABOUT, *purpose),
    }
}

/// Free only when nothing speaks against it; what somebody has weighs more than what is not known.
fn of_findings(findings: &[Finding]) -> Verdict {
    let first = |weight: Weight| findings.iter().find(|finding| finding.weight == weight);
    match (first(Weight::Foreign), first(Weight::Unknown)) {
        (Some(finding), _) => Verdict::Foreign { what: words(finding) },
        (None, Some(finding)) => Verdict::Unknown { why: finding.seen.clone() },
        (None, None) => Verdict::Unclaimed,
    }
}

fn words(finding: &Finding) -> String {
    match finding.about {
        "signature" => format!("it holds {}", finding.seen),
        _ => finding.seen.clone(),
    }
}
