//! From needs to devices: which device serves which purpose on which node, or why none does.
//!
//! In: a cluster of the inventory, what was seen of its nodes, what devices are needed for. Out: one device for every
//! purpose and node, and every reason why there is none, all at once. Pure. What is not certain is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::across;
use super::claimed::{ClaimedDevice, Claims};
use super::consent;
use super::judge::is_expected;
use super::refusal::Refusal;
use super::request::{ClaimRequest, ExpectedUuid};
use super::select::matching;
use super::uuid::{common_uuid, derived_uuid};
use super::{JudgedDevice, Verdict, claim_help, judge};
use crate::facts::{
    BlockDevice, ClaimEntry, ClaimLedger, DeviceContent, ExpectedSignature, Fact, FleetFacts, Signature,
    StableId,
};
use crate::inventory::{AutoClaim, ByteSize, ClaimPolicy, Cluster, DeviceClaim};
use crate::names::NodeName;

/// What came of the needs of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// The devices; complete only without refusals.
    pub claims: Claims,
    /// Why others have none.
    pub refusals: Vec<Refusal>,
    /// What a person should know: claims that nobody uses any more.
    pub notes: Vec<String>,
}

/// Finds a device for every purpose on every node that needs one.
#[must_use]
pub fn resolve(cluster: &Cluster, facts: &FleetFacts, requests: &[ClaimRequest]) -> Resolution {
    let mut resolution = Resolution::default();
    let nodes: BTreeSet<&NodeName> = requests.iter().flat_map(|request| &request.nodes).collect();
    let mut chosen: Vec<Chosen<'_>> = Vec::new();
    for name in nodes {
        let wanted: Vec<&ClaimRequest> =
            requests.iter().filter(|request| request.nodes.contains(name)).collect();
        match OnNode::new(cluster, facts, name) {
            Ok(node) => chosen.extend(node.choose(&wanted, &mut resolution.refusals)),
            Err(why) => resolution.refusals.extend(wanted.iter().map(|request| Refusal {
                node: name.clone(),
                purpose: request.purpose.clone(),
                reason: why.clone(),
                advice: "see why and run again; what is not known is not written to".to_owned(),
            })),
        }
    }
    across::check(&mut chosen, &mut resolution.refusals);
    resolution.notes = unused(cluster, facts, requests);
    resolution
        .refusals
        .sort_by(|a, b| (&a.node, &a.purpose, &a.reason).cmp(&(&b.node, &b.purpose, &b.reason)));
    for one in chosen {
        resolution.claims.insert(one.node, one.device);
    }
    resolution
}

/// A device that was chosen on a node, before the nodes are compared.
#[derive(Debug)]
pub(super) struct Chosen<'r> {
    pub(super) node: NodeName,
    pub(super) request: &'r ClaimRequest,
    pub(super) device: ClaimedDevice,
    /// Whether the inventory names it.
    pub(super) explicit: bool,
    /// What speaks against it, unless another node of the cluster has claimed the same shared device already.
    pub(super) provided: Option<Refusal>,
    /// Whether it is claimed already, by the node's ledger.
    pub(super) ours: bool,
}

/// Why a device cannot be taken, and what to do.
struct No {
    reason: String,
    advice: String,
}

fn no(reason: impl Into<String>, advice: impl Into<String>) -> No {
    No { reason: reason.into(), advice: advice.into() }
}

/// One node with everything that its devices are judged by.
struct OnNode<'a> {
    cluster: &'a Cluster,
    name: &'a NodeName,
    devices: &'a [BlockDevice],
    ledger: &'a ClaimLedger,
    judged: Vec<JudgedDevice>,
    explicit: BTreeMap<&'a str, &'a DeviceClaim>,
}

impl<'a> OnNode<'a> {
    fn new(cluster: &'a Cluster, facts: &'a FleetFacts, name: &'a NodeName) -> Result<Self, String> {
        let seen = facts.node(name).ok_or("the node could not be asked")?;
        let devices = seen
            .block_devices
            .as_result()
            .map_err(|why| format!("the block devices of the node could not be learned: {why}"))?;
        let ledger = seen
            .claims
            .as_result()
            .map_err(|why| format!("which devices were claimed there could not be learned: {why}"))?;
        let judged = judge(devices, &cluster.claim_policy, Ok(ledger));
        let explicit = cluster.claims.get(name).into_iter().flatten();
        let explicit = explicit.map(|(claim, device)| (claim.as_str(), device)).collect();
        Ok(Self { cluster, name, devices, ledger, judged, explicit })
    }

    /// A device for each of these, or why there is none.
    fn choose<'r>(&self, wanted: &[&'r ClaimRequest], refusals: &mut Vec<Refusal>) -> Vec<Chosen<'r>> {
        let mut chosen: Vec<Chosen<'r>> = Vec::new();
        for &request in wanted {
            let explicit = self.explicit.get(request.claim.as_str());
            let device = match explicit {
                Some(claim) => self.explicit(request, claim),
                None => self.without_claim(request),
            };
            match device {
                Ok((device, ours, against)) => chosen.push(Chosen {
                    node: self.name.clone(),
                    request,
                    device,
                    explicit: explicit.is_some(),
                    provided: against.map(|against| self.refusal(request, against)),
                    ours,
                }),
                Err(why) => refusals.push(self.refusal(request, why)),
            }
        }
        self.one_purpose_each(chosen, refusals)
    }

    fn refusal(&self, request: &ClaimRequest, no: No) -> Refusal {
        let No { reason, advice } = no;
        Refusal { node: self.name.clone(), purpose: request.purpose.clone(), reason, advice }
    }

    /// One device serves one purpose, whatever names it was reached by.
    fn one_purpose_each<'r>(&self, chosen: Vec<Chosen<'r>>, refusals: &mut Vec<Refusal>) -> Vec<Chosen<'r>> {
        let rivals = |one: &Chosen<'_>| -> Vec<String> {
            let same = |other: &&Chosen<'_>| {
                other.device.name == one.device.name && other.request.purpose != one.request.purpose
            };
            chosen.iter().filter(same).map(|other| format!("`{}`", other.request.purpose)).collect()
        };
        let taken: Vec<Vec<String>> = chosen.iter().map(rivals).collect();
        let mut kept = Vec::new();
        for (one, rivals) in chosen.into_iter().zip(taken) {
            if rivals.is_empty() {
                kept.push(one);
                continue;
            }
            let reason = format!(
                "{} ({}) is wanted for {} too",
                one.device.path,
                one.device.identity,
                rivals.join(", ")
            );
            let advice = format!("one device serves one purpose: say in `claims` which one\n{}", self.help());
            refusals.push(self.refusal(one.request, no(reason, advice)));
        }
        kept
    }

    /// All devices of the node, with their verdicts and the lines that would claim them.
    fn help(&self) -> String {
        claim_help(self.name, &self.judged)
    }

    fn judged(&self, device: &BlockDevice) -> Option<&JudgedDevice> {
        self.judged.iter().find(|judged| judged.name == device.name)
    }

    /// What the ledger says of this purpose must not be contradicted: a purpose never moves to another device by itself.
    fn not_moved(&self, request: &ClaimRequest, identity: &StableId) -> Result<(), No> {
        match self.ledger.claims.get(&request.purpose) {
            Some(entry) if entry.identity != *identity => Err(no(
                format!("it was claimed before on {}, and now {identity} is to be taken", entry.identity),
                format!(
                    "if the earlier device is not needed any more: `hactl claims release {} {}`",
                    self.name, request.purpose
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The device that the inventory names.
    fn explicit(&self, request: &ClaimRequest, claim: &DeviceClaim) -> Result<Taken, No> {
        let device = match matching(claim, self.devices).as_slice() {
            [one] => *one,
            [] => {
                let reason = format!("no device of the node is {}", described(claim));
                return Err(no(reason, self.help()));
            }
            several => {
                let names: Vec<&str> = several.iter().map(|device| device.path.as_str()).collect();
                let reason = format!("{} are {}; a claim names one", names.join(" and "), described(claim));
                return Err(no(reason, self.help()));
            }
        };
        // The smallest size of the policy is for devices that nobody named.
        let policy = ClaimPolicy {
            minimum_size: ByteSize(request.minimum_bytes),
            ..self.cluster.claim_policy.clone()
        };
        let link = claim.path.as_ref().map(|path| path.as_str()).filter(|path| *path != device.path);
        let verdict = self.verdict(device, &policy, self.devices, self.ledger);
        if let Verdict::Ours { purpose, cluster } = &verdict {
            self.ours(request, purpose, cluster)?;
            return self.kept(request, device, link, claim);
        }
        let identity = self.identity(device, claim)?;
        self.not_moved(request, &identity)?;
        match verdict {
            Verdict::Unclaimed | Verdict::Ours { .. } => {
                Ok((self.claimed(request, device, identity, link, false), false, None))
            }
            Verdict::Unknown { why } => {
                let reason = format!("{} could not be judged: {why}", self.named(device, &identity));
                Err(no(reason, "see why and run again; what is not known is not written to"))
            }
            Verdict::Foreign { what } => {
                let signatures = content(device);
                let reason = format!("{} is not free: {what}", self.named(device, &identity));
                let only_signatures = self.only_signatures_stand_against(device, &policy, request);
                if only_signatures && consent::covers(&claim.wipe, signatures) {
                    return Ok((self.claimed(request, device, identity, link, true), false, None));
                }
                let advice = self.consent_line(request, device, claim, &identity, only_signatures);
                let against = no(reason, advice);
                if only_signatures && request.across == super::Across::Shared {
                    let device = self.claimed(request, device, identity, link, false);
                    return Ok((device, false, Some(against)));
                }
                Err(against)
            }
        }
    }

    /// A device that was claimed for this purpose before: it is used as it is, and what is on it stays, unless it is
    /// neither what its user puts there now nor given up in the inventory.
    fn kept(
        &self,
        request: &ClaimRequest,
        device: &BlockDevice,
        link: Option<&str>,
        claim: &DeviceClaim,
    ) -> Result<Taken, No> {
        // It stays known as what the ledger knows it as, also when a better name has turned up since.
        let Some(entry) = self.ledger.claims.get(&request.purpose) else {
            return Err(no("it is not recorded as claimed", "plan again"));
        };
        let mut claimed = self.claimed(request, device, entry.identity.clone(), link, false);
        let expected = |found: &Signature| is_expected(&claimed.expects, found, &claimed.found);
        if !claimed.found.iter().all(expected) {
            if !consent::covers(&claim.wipe, &claimed.found) {
                let held: Vec<String> = consent::needed(&claimed.found).into_iter().collect();
                let reason = format!(
                    "{} holds {}, which hactl put there for the same purpose; the inventory wants something else \
                     on it now",
                    self.named(device, &claimed.identity),
                    held.join(" and ")
                );
                let only = self.consent_line(request, device, claim, &claimed.identity, true);
                return Err(no(reason, only));
            }
            claimed.wipe = true;
        }
        Ok((claimed, true, None))
    }

    fn ours(&self, request: &ClaimRequest, purpose: &str, cluster: &str) -> Result<(), No> {
        if purpose == request.purpose && cluster == self.cluster.name.as_str() {
            return Ok(());
        }
        Err(no(
            format!("the device is claimed for `{purpose}` of the cluster {cluster}"),
            format!("if it is not needed there any more: `hactl claims release {} {purpose}`", self.name),
        ))
    }

    /// The device of a purpose that the inventory names none for.
    fn without_claim(&self, request: &ClaimRequest) -> Result<Taken, No> {
        if let Some(entry) = self.ledger.claims.get(&request.purpose) {
            return self.claimed_before(request, &entry.identity);
        }
        let explicit: BTreeSet<&str> = self
            .explicit
            .values()
            .flat_map(|claim| matching(claim, self.devices))
            .map(|device| device.name.as_str())
            .collect();
        let free: Vec<(&JudgedDevice, &BlockDevice)> = self
            .judged
            .iter()
            .filter(|judged| judged.verdict == Verdict::Unclaimed && !explicit.contains(judged.name.as_str()))
            .filter_map(|judged| {
                self.devices.iter().find(|device| device.name == judged.name).map(|it| (judged, it))
            })
            .filter(|(_, device)| device.size_bytes >= request.minimum_bytes)
            .collect();
        if self.cluster.claim_policy.auto == AutoClaim::Never {
            return Err(no(
                "the inventory names no device, and `claim_policy` lets none be taken",
                self.help(),
            ));
        }
        match free.as_slice() {
            [(judged, device)] => match &judged.identity {
                Some(identity) => {
                    Ok((self.claimed(request, device, identity.clone(), None, false), false, None))
                }
                None => Err(no(
                    format!("{} is the only candidate, but it has no identity that lasts", device.path),
                    self.help(),
                )),
            },
            [] => {
                let size = ByteSize(request.minimum_bytes.max(self.cluster.claim_policy.minimum_size.0));
                let reason = format!("the inventory names no device, and none of at least {size} is free");
                Err(no(reason, self.help()))
            }
            several => {
                let best = |judged: &JudgedDevice| judged.link.clone();
                let names: Vec<String> = several
                    .iter()
                    .map(|(judged, device)| best(judged).unwrap_or_else(|| device.path.clone()))
                    .collect();
                let reason = format!(
                    "the inventory names no device, and {} are free: hactl does not choose",
                    names.join(" and ")
                );
                Err(no(reason, self.help()))
            }
        }
    }

    /// The device that the ledger has for a purpose; it must be there, and nothing else's.
    fn claimed_before(&self, request: &ClaimRequest, identity: &StableId) -> Result<Taken, No> {
        let release = || {
            format!(
                "bring it back; or, if it is not needed any more: `hactl claims release {} {}`",
                self.name, request.purpose
            )
        };
        let held = |judged: &&JudgedDevice| {
            matches!(&judged.verdict, Verdict::Ours { purpose, cluster }
                if *purpose == request.purpose && cluster == self.cluster.name.as_str())
        };
        let ours: Vec<&JudgedDevice> = self.judged.iter().filter(held).collect();
        let device = |name: &str| self.devices.iter().find(|device| device.name == name);
        match ours.as_slice() {
            [one] => {
                let device = device(&one.name).ok_or_else(|| no("it vanished", release()))?;
                let nothing_given_up = DeviceClaim::default();
                self.kept(request, device, None, &nothing_given_up)
            }
            [] => {
                let there = self.judged.iter().find(|judged| judged.identity.as_ref() == Some(identity));
                let reason = match there {
                    Some(judged) => {
                        format!("it was claimed before on {identity}, which is {}", judged.verdict.words())
                    }
                    None => format!("it was claimed before on {identity}, which the node does not have now"),
                };
                Err(no(reason, release()))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|judged| judged.name.as_str()).collect();
                let reason =
                    format!("it was claimed before on {identity}, which {} are", names.join(" and "));
                Err(no(reason, self.help()))
            }
        }
    }

    /// The identity of a device: one that lasts, or the path that the inventory accepts although it may move.
    fn identity(&self, device: &BlockDevice, claim: &DeviceClaim) -> Result<StableId, No> {
        if let Some(identity) = self.judged(device).and_then(|judged| judged.identity.clone()) {
            return Ok(identity);
        }
        match &claim.path {
            Some(path) if claim.unstable_path => Ok(StableId::Unstable { path: path.to_string() }),
            _ => Err(no(
                format!(
                    "{} has no identity that lasts (world wide name, serial number, place) and is its own alone",
                    device.path
                ),
                format!(
                    "give it one, or accept the risk: {{ path: {}, unstable_path: accept }}",
                    device.path
                ),
            )),
        }
    }

    /// The verdict on one device, under this policy and among these devices.
    fn verdict(
        &self,
        device: &BlockDevice,
        policy: &ClaimPolicy,
        among: &[BlockDevice],
        ledger: &ClaimLedger,
    ) -> Verdict {
        judge(among, policy, Ok(ledger))
            .into_iter()
            .find(|judged| judged.name == device.name)
            .map_or_else(|| Verdict::Unknown { why: "it was not judged".to_owned() }, |judged| judged.verdict)
    }

    /// Whether the device would be free (or ours for this purpose) if nothing were written on it: then consent to lose
    /// that is all that is missing. Mounted, held, too small or not understood is never a matter of consent.
    fn only_signatures_stand_against(
        &self,
        device: &BlockDevice,
        policy: &ClaimPolicy,
        request: &ClaimRequest,
    ) -> bool {
        let mut blank = device.clone();
        if let Fact::Known(content) = &mut blank.content {
            content.signatures.clear();
        }
        blank.filesystem = None;
        blank.partition_table = None;
        let replaced = |one: &BlockDevice| if one.name == device.name { blank.clone() } else { one.clone() };
        let among: Vec<BlockDevice> = self.devices.iter().map(replaced).collect();
        // By what it is alone: that the ledger has it for this purpose excuses nothing.
        let mut others = self.ledger.clone();
        others.claims.remove(&request.purpose);
        self.verdict(device, policy, &among, &others) == Verdict::Unclaimed
    }

    /// The line of the inventory that would give up what is on a device, where that is all that is missing.
    fn consent_line(
        &self,
        request: &ClaimRequest,
        device: &BlockDevice,
        claim: &DeviceClaim,
        identity: &StableId,
        only_signatures: bool,
    ) -> String {
        let signatures = content(device);
        if !only_signatures || signatures.is_empty() {
            return "take what uses the device away yourself, or claim another one; hactl does not do it"
                .to_owned();
        }
        let wipe = consent::yaml(signatures);
        let path = self.path(device, identity, claim.path.as_ref().map(|path| path.as_str()));
        let wrong = if claim.wipe.is_empty() { "" } else { " (`wipe` names something else)" };
        format!(
            "claim another device; or, if what is on it may be lost{wrong}, write below `claims`:\n  {}: {{ {}: {{ \
             path: {path}, wipe: {wipe} }} }}",
            self.name, request.claim
        )
    }

    /// A device in words: its best name and its identity.
    fn named(&self, device: &BlockDevice, identity: &StableId) -> String {
        format!("{} ({identity})", self.path(device, identity, None))
    }

    /// The best name for a device: the link that the inventory uses, then one that lasts, then the device node.
    fn path(&self, device: &BlockDevice, identity: &StableId, link: Option<&str>) -> String {
        match (link, identity) {
            (Some(link), _) => link.to_owned(),
            (None, StableId::Path { link }) => link.clone(),
            _ => {
                let judged = self.judged(device).and_then(|judged| judged.link.clone());
                judged.unwrap_or_else(|| device.path.clone())
            }
        }
    }

    fn claimed(
        &self,
        request: &ClaimRequest,
        device: &BlockDevice,
        identity: StableId,
        link: Option<&str>,
        wipe: bool,
    ) -> ClaimedDevice {
        let uuid = derived_uuid(&self.cluster.name, self.name, &request.purpose, &identity);
        let expects = request.expects.iter().map(|expected| ExpectedSignature {
            kind: expected.kind.clone(),
            uuid: match expected.uuid {
                ExpectedUuid::Any => None,
                ExpectedUuid::Derived => Some(uuid.clone()),
                ExpectedUuid::Common => Some(common_uuid(&self.cluster.name, &request.purpose)),
            },
        });
        let mut claimed = ClaimedDevice {
            purpose: request.purpose.clone(),
            claim: request.claim.clone(),
            path: self.path(device, &identity, link),
            size_bytes: device.size_bytes,
            name: device.name.clone(),
            expects: expects.collect(),
            found: content(device).to_vec(),
            uuid,
            identity,
            wipe,
            recorded: false,
        };
        // A disk that has grown since is the same disk.
        claimed.recorded = self.ledger.claims.get(&request.purpose).is_some_and(|entry| {
            let now = ClaimEntry { size_bytes: entry.size_bytes, ..claimed.entry(&self.cluster.name) };
            *entry == now
        });
        claimed
    }
}

/// A device, whether it is claimed already, and what speaks against it for the time being.
type Taken = (ClaimedDevice, bool, Option<No>);

/// What is on a device; nothing where that is unknown, which the verdict tells.
fn content(device: &BlockDevice) -> &[Signature] {
    device.content.known().map_or(&[], |DeviceContent { signatures, .. }| signatures)
}

/// A claim in words.
fn described(claim: &DeviceClaim) -> String {
    let mut words: Vec<String> = Vec::new();
    let texts = [
        ("serial", &claim.serial),
        ("wwn", &claim.wwn),
        ("eui", &claim.eui),
        ("model", &claim.model),
        ("transport", &claim.transport),
    ];
    words.extend(claim.path.iter().map(ToString::to_string));
    words.extend(
        texts.into_iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{key} {value}"))),
    );
    words.extend(claim.size.iter().map(|size| format!("size {size}")));
    words.extend(claim.rotational.iter().map(|turns| format!("rotational {turns}")));
    words.join(" with ")
}

/// Claims of the inventory and of the ledgers that nothing asks for.
fn unused(cluster: &Cluster, facts: &FleetFacts, requests: &[ClaimRequest]) -> Vec<String> {
    let mut notes = Vec::new();
    for name in cluster.nodes.keys() {
        let asked = |wanted: &dyn Fn(&ClaimRequest) -> bool| {
            requests.iter().any(|request| request.nodes.contains(name) && wanted(request))
        };
        for claim in cluster.claims.get(name).into_iter().flat_map(BTreeMap::keys) {
            if !asked(&|request| request.claim == *claim) {
                notes.push(format!("{name}: nothing uses the claim `{claim}` of the inventory"));
            }
        }
        let ledger = facts.node(name).and_then(|seen| seen.claims.known());
        for (purpose, entry) in ledger.into_iter().flat_map(|ledger| &ledger.claims) {
            if entry.cluster == cluster.name.as_str() && !asked(&|request| request.purpose == *purpose) {
                notes.push(format!(
                    "{name}: {} is still claimed for `{purpose}`, which nothing uses: `hactl claims release {name} \
                     {purpose}` frees it",
                    entry.identity
                ));
            }
        }
    }
    notes
}
