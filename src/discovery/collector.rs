//! Sends the scripts and gathers the answers of all nodes.
//!
//! In: a fleet, and queries. Out: facts of every node, failures included. Two round trips at most per node, many
//! nodes at a time on one thread. This is the only file of the stage that does I/O and reads the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::stream::{self, StreamExt as _};

use super::base;
use super::batch::{self, Batch};
use super::clock::Exchange;
use super::frames::{self, Reply};
use super::probe::{Answer, ProbeError, brief};
use super::script::{self, Boundary, Question};
use crate::facts::{ClusterQuery, FleetFacts, NodeFacts, NodeOutcome, Observation, Query};
use crate::names::NodeName;
use crate::transport::{Command, Fleet, Output, Secrecy, Transport, TransportError};

/// How long one script may take: longer than all its probes' own limits are likely to add up to.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(45);
/// How long one question may take that is asked alone, after the script as a whole did not come to its end.
const ALONE_TIMEOUT: Duration = Duration::from_secs(40);
/// How long a node may take to run nothing at all, before its questions are asked alone.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes that one script may print.
const OUTPUT_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes that one question asked alone may print.
const ALONE_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How many questions are asked at a time when they are asked alone; sshd allows ten sessions by default.
const ALONE_PARALLEL: usize = 4;

/// Learns the base facts of every node of the fleet, and the answers to these queries in the same round trip,
/// `parallel` nodes at a time. Nodes that could not even be connected to are taken over as they are.
pub async fn discover(
    fleet: &Fleet,
    unreachable: &BTreeMap<NodeName, TransportError>,
    queries: &BTreeSet<Query>,
    parallel: usize,
) -> FleetFacts {
    let failed = unreachable.iter().map(|(node, error)| (node.clone(), NodeOutcome::Failed(error.clone())));
    let mut nodes: BTreeMap<NodeName, NodeOutcome> = failed.collect();
    let asked: Vec<_> = fleet.iter().map(|(node, transport)| (node.clone(), Arc::clone(transport))).collect();
    let mut answers = stream::iter(asked)
        .map(|(node, transport)| async move { (node, base_facts(transport.as_ref(), queries).await) })
        .buffer_unordered(parallel.max(1));
    while let Some((node, facts)) = answers.next().await {
        let outcome = match facts {
            Ok(facts) => NodeOutcome::Answered(Box::new(facts)),
            Err(error) => NodeOutcome::Failed(error),
        };
        nodes.insert(node, outcome);
    }
    FleetFacts { nodes, program: None }
}

/// Answers these queries, `parallel` nodes at a time, and adds the observations to the nodes' facts (a repeated
/// query is asked again, and the newer answer counts). A node whose connection fails meanwhile becomes a failure;
/// nodes that had failed before are not asked.
pub async fn observe(
    fleet: &Fleet,
    queries: &BTreeMap<NodeName, BTreeSet<Query>>,
    facts: &mut FleetFacts,
    parallel: usize,
) {
    let asked: Vec<_> = queries
        .iter()
        .filter(|(node, queries)| !queries.is_empty() && facts.node(node).is_some())
        .filter_map(|(node, queries)| Some((node.clone(), Arc::clone(fleet.get(node)?), queries.clone())))
        .collect();
    let mut answers = stream::iter(asked)
        .map(|(node, transport, queries)| async move { (node, ask(transport.as_ref(), &queries).await) })
        .buffer_unordered(parallel.max(1));
    while let Some((node, seen)) = answers.next().await {
        match (facts.nodes.get_mut(&node), seen) {
            (Some(NodeOutcome::Answered(known)), Ok(seen)) => known.observed.extend(seen),
            (Some(outcome), Err(error)) => *outcome = NodeOutcome::Failed(error),
            _ => {}
        }
    }
}

/// The base facts of one node, as they are now.
///
/// # Errors
/// The node could not be asked.
pub async fn base_now(transport: &dyn Transport) -> Result<NodeFacts, TransportError> {
    base_facts(transport, &BTreeSet::new()).await
}

async fn base_facts(
    transport: &dyn Transport,
    queries: &BTreeSet<Query>,
) -> Result<NodeFacts, TransportError> {
    let batches = batch::batches(queries);
    let mut questions: Vec<Question> = base::questions().into();
    // The clock stays the last question, so that the time of the others is no uncertainty.
    let before_last = questions.len() - 1;
    questions.splice(before_last..before_last, batches.iter().map(Batch::question));
    let (mut replies, exchange) = gather(transport, &questions, secrecy(queries)).await?;
    // `gather` gives one reply per question, so that this range lies within them.
    let observed: Vec<Reply> = replies.drain(before_last..before_last + batches.len()).collect();
    let replies = replies.try_into().map_err(|_| not_run(transport, "answers are missing".to_owned()))?;
    let mut facts = base::facts(&replies, exchange);
    facts.observed = read(&batches, &observed);
    Ok(facts)
}

/// Answers these queries about one node.
///
/// # Errors
/// The way there failed. A query that could not be answered is an unknown observation.
pub async fn ask(
    transport: &dyn Transport,
    queries: &BTreeSet<Query>,
) -> Result<BTreeMap<Query, Observation>, TransportError> {
    let batches = batch::batches(queries);
    let questions: Vec<Question> = batches.iter().map(Batch::question).collect();
    let (replies, _) = gather(transport, &questions, secrecy(queries)).await?;
    Ok(read(&batches, &replies))
}

fn read(batches: &[Batch], replies: &[Reply]) -> BTreeMap<Query, Observation> {
    batches.iter().zip(replies).flat_map(|(batch, reply)| batch.read(reply)).collect()
}

fn secrecy(queries: &BTreeSet<Query>) -> Secrecy {
    if queries.iter().any(may_tell_a_secret) { Secrecy::Secret } else { Secrecy::Open }
}

/// Whether the answer must stay out of the log: texts of files, and the CIB with its passwords.
fn may_tell_a_secret(query: &Query) -> bool {
    matches!(query, Query::File { text: true, .. } | Query::Cluster(ClusterQuery::Cib))
}

/// Asks all questions in one round trip, one reply for each. When the script as a whole does not end or prints
/// without end, because of one question that no limit on the node could stop, each is asked alone.
async fn gather(
    transport: &dyn Transport,
    questions: &[Question],
    secrecy: Secrecy,
) -> Result<(Vec<Reply>, Exchange), TransportError> {
    match ask_together(transport, questions, secrecy, SCRIPT_TIMEOUT, OUTPUT_LIMIT_BYTES).await {
        Err(error @ (TransportError::Timeout { .. } | TransportError::TooMuchOutput { .. })) => {
            ask_alone(transport, questions, secrecy).await.ok_or(error)
        }
        other => other,
    }
}

async fn ask_together(
    transport: &dyn Transport,
    questions: &[Question],
    secrecy: Secrecy,
    timeout: Duration,
    output_limit_bytes: usize,
) -> Result<(Vec<Reply>, Exchange), TransportError> {
    let boundary = Boundary::random();
    // `eval "$(cat)"` and not `sh -s`: a script that arrives in part does not run in part.
    let mut command = Command::new(["sh", "-c", r#"eval "$(cat)""#])
        .stdin(script::render(questions, &boundary))
        .timeout(timeout);
    command.secrecy = secrecy;
    command.output_limit_bytes = output_limit_bytes;
    let output = transport.exec(&command).await?;
    let received_us = now_us();
    // The command's own time, and not the time since the call: that may hold the making of the connection.
    let took_us = i64::try_from(output.duration.as_micros()).unwrap_or(i64::MAX);
    let exchange = Exchange { sent_us: received_us.saturating_sub(took_us), received_us };
    if !frames::any(&output.stdout, &boundary) {
        return Err(not_run(transport, words(&output)));
    }
    Ok((frames::parse(&output.stdout, &boundary, questions), exchange))
}

/// Asks each question alone; `None` when the node does not answer at all.
async fn ask_alone(
    transport: &dyn Transport,
    questions: &[Question],
    secrecy: Secrecy,
) -> Option<(Vec<Reply>, Exchange)> {
    let pulse = Question { probe: "pulse", lines: ":".to_owned() };
    ask_together(transport, &[pulse], secrecy, PULSE_TIMEOUT, ALONE_LIMIT_BYTES).await.ok()?;
    let sent_us = now_us();
    let replies: Vec<Reply> = stream::iter(questions.iter().cloned())
        .map(|question| async move {
            let one = std::slice::from_ref(&question);
            let reply = ask_together(transport, one, secrecy, ALONE_TIMEOUT, ALONE_LIMIT_BYTES).await;
            first(question.probe, reply)
        })
        .buffered(ALONE_PARALLEL)
        .collect()
        .await;
    replies.iter().any(Result::is_ok).then_some((replies, Exchange { sent_us, received_us: now_us() }))
}

fn first(
    probe: &'static str,
    reply: Result<(Vec<Reply>, Exchange), TransportError>,
) -> Result<Answer, ProbeError> {
    match reply {
        Ok((replies, _)) => replies.into_iter().next().unwrap_or(Err(ProbeError::Unanswered { probe })),
        Err(source) => Err(ProbeError::Transport { probe, source }),
    }
}

/// The node took the command and ran something else: a forced command, no shell, a closed account.
fn not_run(transport: &dyn Transport, reason: String) -> TransportError {
    let attempted = "the discovery script did not run".to_owned();
    TransportError::Failed { node: transport.node().clone(), attempted, reason }
}

fn words(output: &Output) -> String {
    format!("{}: {}", output.status, brief(&format!("{} {}", output.stderr_text(), output.stdout_text())))
}

/// Our clock, in microseconds since the epoch; negative before it.
fn now_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
