//! The nodes of a run, each with its way there.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;

use super::{Transport, TransportError};
use crate::names::NodeName;

/// Nodes that are worked on at once unless something else was asked for.
pub const DEFAULT_PARALLEL_NODES: usize = 32;

/// Every node of the run that was asked for, with the transport that leads there.
#[derive(Clone, Default)]
pub struct Fleet {
    nodes: BTreeMap<NodeName, Arc<dyn Transport>>,
}

impl Fleet {
    /// A fleet of these transports; a later one replaces an earlier one of the same node.
    pub fn new(transports: impl IntoIterator<Item = Arc<dyn Transport>>) -> Self {
        Self {
            nodes: transports.into_iter().map(|transport| (transport.node().clone(), transport)).collect(),
        }
    }

    /// The way to this node, if it belongs to the run.
    #[must_use]
    pub fn get(&self, node: &NodeName) -> Option<&Arc<dyn Transport>> {
        self.nodes.get(node)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Arc<dyn Transport>)> {
        self.nodes.iter()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes for which this holds.
    #[must_use]
    pub fn select(&self, mut wanted: impl FnMut(&NodeName) -> bool) -> Self {
        let kept = self.nodes.iter().filter(|(node, _)| wanted(node));
        Self { nodes: kept.map(|(node, transport)| (node.clone(), transport.clone())).collect() }
    }

    /// Does something on every node, on at most `parallel` of them at once, and returns what came of it by
    /// node. A node that fails is data: it does not stop the others.
    pub async fn each<T, F, Fut>(&self, parallel: usize, work: F) -> BTreeMap<NodeName, T>
    where
        F: Fn(Arc<dyn Transport>) -> Fut,
        Fut: Future<Output = T>,
    {
        let jobs = self.nodes.iter().map(|(node, transport)| {
            let (node, job) = (node.clone(), work(transport.clone()));
            async move { (node, job.await) }
        });
        stream::iter(jobs).buffer_unordered(parallel.max(1)).collect().await
    }

    /// Connects to every node, at most `parallel` at once.
    pub async fn connect(&self, parallel: usize) -> BTreeMap<NodeName, Result<(), TransportError>> {
        self.each(parallel, |transport| async move { transport.connect().await }).await
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.nodes.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::transport::ReplayTransport;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[tokio::test]
    async fn a_failed_node_does_not_stop_the_others() {
        let failure = TransportError::Configuration { node: node("b"), reason: "broken".to_owned() };
        let b = ReplayTransport::new(node("b")).failing([failure]);
        let nodes: [Arc<dyn Transport>; 3] = [
            Arc::new(ReplayTransport::new(node("c"))),
            Arc::new(b),
            Arc::new(ReplayTransport::new(node("a"))),
        ];
        let results = Fleet::new(nodes).connect(2).await;
        let ok: Vec<_> = results.iter().map(|(node, result)| (node.as_str(), result.is_ok())).collect();
        assert_eq!(ok, [("a", true), ("b", false), ("c", true)]);
    }

    #[tokio::test]
    async fn no_more_than_the_limit_at_once() {
        let nodes =
            (0..20).map(|i| Arc::new(ReplayTransport::new(node(&format!("n{i}")))) as Arc<dyn Transport>);
        let (running, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let work = |_| async move {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::Relaxed);
        };
        assert_eq!(Fleet::new(nodes).each(3, work).await.len(), 20);
        assert_eq!(most.load(Ordering::Relaxed), 3);
    }
}
