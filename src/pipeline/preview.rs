//! What Pacemaker itself says that it would do after a change of the CIB, asked before anything is sent.

use std::time::Duration;

use super::Session;
use crate::cib::{Cib, Ownership, Simulation, diff, parse_crm_simulate};
use crate::facts::{ClusterQuery, Observation, Query};
use crate::names::{ClusterName, NodeName};
use crate::plan::{Action, Note, Plan, Risk};
use crate::transport::Command;

/// How long Pacemaker's scheduler may take.
const SIMULATE_TIMEOUT: Duration = Duration::from_secs(30);

impl Session {
    /// Adds Pacemaker's own forecast to every change of a CIB in the plan: what it would do as a note, what its users
    /// would notice as the step's risk.
    pub(super) async fn preview(&self, plan: &mut Plan) {
        for index in 0..plan.steps.len() {
            let Action::PatchCib { desired, .. } = &plan.steps[index].action else { continue };
            let node = plan.steps[index].node.clone();
            let Some(cluster) = self.cluster_of(&node) else { continue };
            let Some(target) = self.target(&node, desired) else { continue };
            match self.simulate(&node, target).await {
                Ok(simulation) => {
                    let noticed: Vec<String> =
                        simulation.disruptive().map(|action| action.subject.clone()).collect();
                    if !noticed.is_empty() {
                        plan.steps[index].risk = Risk::Disruptive(noticed);
                    }
                    plan.notes.push(Note { cluster, text: forecast(&simulation) });
                }
                Err(why) => {
                    let text =
                        format!("what Pacemaker would do could not be learned: {}", self.secrets.hide(&why));
                    plan.notes.push(Note { cluster, text });
                }
            }
        }
    }

    fn cluster_of(&self, node: &NodeName) -> Option<ClusterName> {
        self.clusters().find(|cluster| cluster.nodes.contains_key(node)).map(|cluster| cluster.name.clone())
    }

    /// The CIB as it would be, secrets spelled out; `None` when there is no live one to start from.
    fn target(&self, node: &NodeName, desired: &str) -> Option<String> {
        let seen = self.facts.node(node)?.observation(&Query::Cluster(ClusterQuery::Cib));
        let Observation::Text(Some(live)) = seen else { return None };
        let reveal = |name: &str| self.secrets.get(name).map(str::to_owned);
        let difference =
            diff(&Cib::parse(&live).ok()?, &Cib::parse(desired).ok()?, &Ownership::default(), &reveal)
                .ok()?;
        difference.target.render_revealed(&reveal).ok()
    }

    async fn simulate(&self, node: &NodeName, target: String) -> Result<Simulation, String> {
        let transport = self.fleet.get(node).ok_or("the node is not connected")?;
        let command = Command::new(["crm_simulate", "--simulate", "--xml-pipe", "--output-as=xml"])
            .stdin(target.into_bytes())
            .timeout(SIMULATE_TIMEOUT)
            .secret();
        let output = transport.exec(&command).await.map_err(|error| error.to_string())?;
        parse_crm_simulate(&output.stdout_text())
            .map_err(|error| format!("{error} ({})", output.stderr_text().trim()))
    }
}

fn forecast(simulation: &Simulation) -> String {
    if simulation.actions.is_empty() {
        return "Pacemaker would then do nothing".to_owned();
    }
    let lines: Vec<String> = simulation.actions.iter().map(ToString::to_string).collect();
    format!("Pacemaker would then\n{}", lines.join("\n"))
}
