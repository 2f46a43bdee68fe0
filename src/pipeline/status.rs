//! How the clusters are, asked anew.

use std::collections::BTreeMap;

use super::{PipelineError, Session};
use crate::verify::{StatusReport, status, status_queries};

impl Session {
    /// Asks every node of the clusters concerned how it is. A node that does not answer is part of the status.
    ///
    /// # Errors
    /// No node answers at all.
    pub async fn status(&mut self) -> Result<StatusReport, PipelineError> {
        if self.facts.nodes.keys().all(|node| self.facts.node(node).is_none()) {
            return Err(PipelineError::Nodes(
                self.facts.failures().map(|(_, error)| error.clone()).collect(),
            ));
        }
        Ok(self.report().await)
    }

    /// The same after learning anew which nodes answer, for those who watch: that none does is worth watching, too.
    pub async fn status_again(&mut self) -> StatusReport {
        self.discover().await;
        self.report().await
    }

    async fn report(&mut self) -> StatusReport {
        let nodes = self.clusters().flat_map(|cluster| cluster.nodes.keys().cloned());
        let wanted: BTreeMap<_, _> = nodes.map(|node| (node, status_queries())).collect();
        self.observe(&wanted).await;
        status(self.clusters(), &self.facts)
    }
}
