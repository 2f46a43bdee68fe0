//! Verification of a run: look again, plan again, and make the barclamps' checks until they hold or time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{PipelineError, Session};
use crate::apply::{Event, Phase};
use crate::barclamp::{DeclaredCheck, Expect, checks};
use crate::desired;
use crate::facts::{NodeOutcome, Query};
use crate::inventory::Cluster;
use crate::names::{ClusterName, NodeName};
use crate::plan::Check;
use crate::verify::{CheckResult, REPORT_FORMAT, VerifyReport, judge, queries, reach};

/// How often checks that do not hold yet are made again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long a resource must have failed to run, Pacemaker having nothing left to do, until that counts as its last word.
const GIVEN_UP: Duration = Duration::from_secs(10);

impl Session {
    /// Proves that the nodes are as the inventory says and that the services answer. What does not hold yet is tried
    /// again until `patience` is over: a cluster that was just changed takes a moment. What Pacemaker itself has given
    /// up is not waited for.
    ///
    /// # Errors
    /// Nodes did not answer, or the barclamps contradict each other.
    pub async fn verify(&mut self, patience: Duration) -> Result<VerifyReport, PipelineError> {
        let began = Instant::now();
        self.events.emit(Event::PhaseStarted { phase: Phase::Verify, total: 0 });
        let mut stopped: Option<(Vec<CheckResult>, Instant)> = None;
        let report = loop {
            let asked = Instant::now();
            let report = self.verify_once().await?;
            if report.holds() || began.elapsed() >= patience {
                break report;
            }
            let now = self.not_running(&report)?;
            match &stopped {
                Some((before, since)) if *before == now && !now.is_empty() => {
                    if since.elapsed() >= GIVEN_UP && self.idle().await {
                        break report;
                    }
                }
                _ => stopped = Some((now, Instant::now())),
            }
            // Slow nodes have at least as long to get on with it as they need for the answers.
            tokio::time::sleep(RETRY_INTERVAL.max(asked.elapsed())).await;
        };
        self.events.emit(Event::PhaseFinished { phase: Phase::Verify, took: began.elapsed() });
        Ok(report)
    }

    /// The checks that do not hold because a resource does not run.
    fn not_running(&self, report: &VerifyReport) -> Result<Vec<CheckResult>, PipelineError> {
        let declared = self.declared_checks()?;
        let about_resources = |result: &&CheckResult| {
            declared.get(&result.cluster).into_iter().flatten().any(|check| {
                matches!(check.expect, Expect::Running { .. } | Expect::Fencing)
                    && check_name(check) == result.check
            })
        };
        let failed = report.results.iter().filter(|result| result.problem.is_some());
        Ok(failed.filter(about_resources).cloned().collect())
    }

    /// Whether Pacemaker has nothing left to do in any cluster.
    async fn idle(&mut self) -> bool {
        let answers =
            |node: &&NodeName| matches!(self.facts.nodes.get(*node), Some(NodeOutcome::Answered(_)));
        let asked: Vec<NodeName> =
            self.clusters().filter_map(|cluster| cluster.nodes.keys().find(answers)).cloned().collect();
        let wanted = asked.iter().map(|node| (node.clone(), Check::Settled.queries())).collect();
        self.observe(&wanted).await;
        asked.iter().all(|node| {
            self.facts
                .node(node)
                .is_some_and(|facts| Check::Settled.judge(&|query| facts.observation(query)).is_ok())
        })
    }

    async fn verify_once(&mut self) -> Result<VerifyReport, PipelineError> {
        self.learn_facts().await;
        let plan = self.plan().await?;
        let mut results = Vec::new();
        for cluster in self.clusters() {
            let differing: Vec<String> = plan
                .changes
                .iter()
                .map(|change| format!("{}: {}", change.resource, change.summary))
                .chain(plan.blocked.iter().map(|blocked| format!("{}: {}", blocked.resource, blocked.reason)))
                .collect();
            results.push(CheckResult {
                cluster: cluster.name.clone(),
                check: "convergence".to_owned(),
                summary: "the nodes are as the inventory says".to_owned(),
                node: None,
                problem: (!differing.is_empty()).then(|| differing.join("\n")),
            });
        }
        let declared = self.declared_checks()?;
        self.observe(&self.check_queries(&declared)).await;
        for (cluster, checks) in &declared {
            let cluster = &self.inventory.clusters[cluster];
            for check in checks {
                results.push(self.result(cluster, check).await);
            }
        }
        Ok(VerifyReport { format: REPORT_FORMAT, results })
    }

    pub(super) fn declared_checks(&self) -> Result<BTreeMap<ClusterName, Vec<DeclaredCheck>>, PipelineError> {
        let mut all = BTreeMap::new();
        for cluster in self.clusters() {
            let attributes = self.attributes.get(&cluster.name).cloned().unwrap_or_default();
            // Nodes of which nothing can be desired are refusals in the plan, and so in the report already.
            let Ok(view) = desired::view(cluster, &self.facts, attributes) else { continue };
            let declared = checks(&self.registry, &view).map_err(PipelineError::Barclamps)?;
            all.insert(cluster.name.clone(), declared);
        }
        Ok(all)
    }

    /// The node that is asked for a check: its own, or the first of the cluster that answers.
    fn asked<'a>(&self, cluster: &'a Cluster, check: &'a DeclaredCheck) -> Option<&'a NodeName> {
        let answers =
            |node: &&NodeName| matches!(self.facts.nodes.get(*node), Some(NodeOutcome::Answered(_)));
        check.node.as_ref().or_else(|| cluster.nodes.keys().find(answers))
    }

    fn check_queries(
        &self,
        declared: &BTreeMap<ClusterName, Vec<DeclaredCheck>>,
    ) -> BTreeMap<NodeName, BTreeSet<Query>> {
        let mut wanted: BTreeMap<NodeName, BTreeSet<Query>> = BTreeMap::new();
        for (cluster, checks) in declared {
            let cluster = &self.inventory.clusters[cluster];
            for check in checks {
                if let Some(node) = self.asked(cluster, check) {
                    wanted.entry(node.clone()).or_default().extend(queries(&check.expect));
                }
            }
        }
        wanted
    }

    async fn result(&self, cluster: &Cluster, check: &DeclaredCheck) -> CheckResult {
        let node = self.asked(cluster, check);
        let verdict = match (reach(&check.expect).await, node.and_then(|node| self.facts.node(node))) {
            (Some(reached), _) => reached,
            (None, Some(facts)) => judge(check, cluster, &|query| facts.observation(query)),
            (None, None) => Err("no node of the cluster answers".to_owned()),
        };
        CheckResult {
            cluster: cluster.name.clone(),
            check: check_name(check),
            summary: check.summary.clone(),
            node: check.node.clone(),
            problem: verdict.err().map(|problem| self.secrets.hide(&problem)),
        }
    }
}

fn check_name(check: &DeclaredCheck) -> String {
    format!("{}/{}", check.barclamp, check.id)
}
