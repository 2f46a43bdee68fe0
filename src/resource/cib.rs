//! The CIB: everything that Pacemaker is to do, changed by one patch.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::cib::{Cib, CibDiff, Ownership, diff, intent_digest};
use crate::facts::{ClusterQuery, Observation, Query};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Blocked, Check, Guard, Note};

/// How long Pacemaker may take to do all that a change of the CIB asks for.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// How many objects of others a plan names.
const MAX_FOREIGN_NAMED: usize = 40;
/// The schema of a CIB that does not exist yet; Pacemaker's own is used where there is one.
const FIRST_SCHEMA: &str = "pacemaker-3.0";

/// The wanted configuration of a cluster.
#[derive(Debug, Clone)]
pub struct CibConfig {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// Which cluster.
    pub cluster: ClusterName,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<NodeName>,
    /// The node that sends the patch when no Pacemaker runs yet.
    pub founder: NodeName,
    /// `<cib>` with the objects that are wanted and nothing else; secrets as markers.
    pub desired: String,
}

fn query() -> Query {
    Query::Cluster(ClusterQuery::Cib)
}

impl CibConfig {
    fn blocked(&self, node: Option<&NodeName>, reason: String, advice: &str) -> Blocked {
        Blocked { resource: self.id.clone(), node: node.cloned(), reason, advice: advice.to_owned() }
    }

    /// The live CIB of the partition that has quorum, and the node that told it.
    fn live<'s>(&'s self, context: &DiffContext<'_>) -> Result<Option<(&'s NodeName, Cib)>, Blocked> {
        let mut best: Option<(&NodeName, Cib)> = None;
        // The nodes of one partition tell the same CIB, byte by byte: each is read once.
        let mut read: BTreeSet<&str> = BTreeSet::new();
        for node in &self.nodes {
            let text = match context.seen(node, &query()) {
                Some(Observation::Text(Some(text))) => text,
                Some(Observation::Text(None)) => continue,
                _ => match context.observed(node, &query()) {
                    Observation::Unknown(why) => {
                        let reason = format!("the CIB could not be read: {why}");
                        return Err(self.blocked(
                            Some(node),
                            reason,
                            "see what `cibadmin --query` says on the node",
                        ));
                    }
                    _ => continue,
                },
            };
            if !read.insert(text) {
                continue;
            }
            let cib = Cib::parse(text).map_err(|error| {
                self.blocked(
                    Some(node),
                    format!("the CIB cannot be understood: {error}"),
                    "see `cibadmin --query`",
                )
            })?;
            let rank = |cib: &Cib| {
                (cib.root().attr("have-quorum") == Some("1"), cib.version().admin_epoch, cib.version().epoch)
            };
            if best.as_ref().is_none_or(|(_, known)| rank(&cib) > rank(known)) {
                best = Some((node, cib));
            }
        }
        Ok(best)
    }

    fn compare(&self, live: &Cib, context: &DiffContext<'_>) -> Result<CibDiff, Blocked> {
        let desired = Cib::parse(&self.desired).map_err(|error| {
            self.blocked(None, format!("the rendered CIB is wrong: {error}"), "correct the barclamp")
        })?;
        let reveal = |name: &str| context.secrets.get(name).map(str::to_owned);
        diff(live, &desired, &Ownership::default(), &reveal)
            .map_err(|error| self.blocked(None, error.to_string(), "correct the inventory"))
    }

    fn refuse(&self, difference: &CibDiff) -> Result<(), Blocked> {
        if difference.conflicts.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = difference
            .conflicts
            .iter()
            .map(|conflict| format!("{}: {}", conflict.object, conflict.why))
            .collect();
        let advice = "make the inventory equal to what is there, or remove it from the cluster (crm, pcs), then plan again";
        Err(self.blocked(None, lines.join("\n"), advice))
    }
}

impl Resource for CibConfig {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        self.nodes.iter().map(|node| (node.clone(), query())).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        self.judge(context).1
    }

    fn judge(&self, context: &DiffContext<'_>) -> (Vec<Note>, Result<Change, Blocked>) {
        let compared =
            self.start(context).and_then(|(node, cib)| Ok((node, self.compare(&cib, context)?, cib)));
        match compared {
            Err(blocked) => (Vec::new(), Err(blocked)),
            Ok((node, difference, cib)) => {
                (self.foreign(&difference), self.change(context, node, &cib, &difference))
            }
        }
    }
}

impl CibConfig {
    /// The CIB that is to be changed, and the node that changes it.
    fn start<'s>(&'s self, context: &DiffContext<'_>) -> Result<(&'s NodeName, Cib), Blocked> {
        match self.live(context)? {
            Some(live) => Ok(live),
            None if self.is_joining(context) => Ok((&self.founder, Cib::empty(FIRST_SCHEMA))),
            None => {
                let reason = "Pacemaker runs on no node of the cluster".to_owned();
                Err(self.blocked(None, reason, "see what pacemaker.service says on the nodes"))
            }
        }
    }

    fn is_joining(&self, context: &DiffContext<'_>) -> bool {
        self.requires.iter().any(|id| context.pending.contains(id))
    }

    /// A note on what others made.
    fn foreign(&self, difference: &CibDiff) -> Vec<Note> {
        if difference.foreign.is_empty() {
            return Vec::new();
        }
        let named = difference.foreign.iter().take(MAX_FOREIGN_NAMED).map(ToString::to_string);
        let mut text = format!(
            "in the CIB, not made by hactl, left alone: {}",
            named.collect::<Vec<String>>().join(", ")
        );
        if let Some(more) = difference.foreign.len().checked_sub(MAX_FOREIGN_NAMED).filter(|more| *more > 0) {
            let _ = write!(text, " and {more} more (`cibadmin --query` tells all)");
        }
        vec![Note { cluster: self.cluster.clone(), text }]
    }

    fn change(
        &self,
        context: &DiffContext<'_>,
        node: &NodeName,
        cib: &Cib,
        difference: &CibDiff,
    ) -> Result<Change, Blocked> {
        let joining = self.is_joining(context);
        self.refuse(difference)?;
        if difference.patch.is_none() && (difference.deferred.is_empty() || !joining) {
            return Ok(Change::None);
        }
        let mut changes: Vec<String> = difference.changes.iter().map(ToString::to_string).collect();
        changes.extend(
            difference.deferred.iter().map(|object| format!("+ {object} (once its node has joined)")),
        );
        let mut steps = Steps::of(&self.id);
        let text: String = changes.iter().map(|change| change.clone() + "\n").collect();
        let summary = match changes.len() {
            1 => "1 change in the CIB".to_owned(),
            number => format!("{number} changes in the CIB"),
        };
        let action = Action::PatchCib { desired: self.desired.clone(), changes };
        let patched = steps.push(node, "patch", action, &[]);
        steps.guard(Guard::Cib { intent: intent_digest(cib) });
        steps.push(node, "settle", Action::wait(Check::Settled, SETTLE_LIMIT), &[patched]);
        Ok(steps.change(summary, text))
    }
}
