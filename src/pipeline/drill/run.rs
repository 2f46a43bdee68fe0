//! A drill from the first write to the verification after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use tokio::sync::watch;

use super::traffic::{Traffic, is_missing, make_file, remove_file};
use super::{Drill, DrillError};
use crate::apply::Event;
use crate::barclamp::Expect;
use crate::facts::{ClusterQuery, Query};
use crate::names::NodeName;
use crate::pipeline::Session;
use crate::plan::Check;
use crate::transport::Command;
use crate::verify::drill::{
    DRILL_FORMAT, DrillReport, FILE_PREFIX, RESYNC_LOG, Records, RequestReport, WriteReport, count_lost,
    outage, resynced_bytes,
};

/// How long writes and answers may take to begin, before anything is cut.
const WARM_UP_LIMIT: Duration = Duration::from_secs(180);
/// Records that must have been acknowledged before.
const WARM_UP_WRITES: usize = 100;
/// Requests that must have been answered before.
const WARM_UP_ANSWERS: usize = 10;
/// How long fencing may take, in seconds, by Pacemaker's clock and by ours.
const FENCE_LIMIT_S: u64 = 300;
/// How long the group may take to run elsewhere.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(300);
/// How long the node may take to come back, and how long everything may take until it holds again.
const RETURN_LIMIT: Duration = Duration::from_secs(900);
/// Time between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long a survivor may take to tell what its kernel says.
const LOG_TIMEOUT: Duration = Duration::from_secs(20);

/// What was noted on the way.
#[derive(Default)]
struct Noted {
    survivor: Option<NodeName>,
    fenced_after: Option<Duration>,
    back_after: Option<Duration>,
    problems: Vec<String>,
}

impl Session {
    /// Carries it out: writes and asks, has the node's power cut, waits until everything is as before, counts. Ends early,
    /// and tidily, when `cancel` becomes true.
    ///
    /// # Errors
    /// It was interrupted, what is to be measured did not work before anything was cut, or a survivor does not answer.
    /// That the cluster did not do its part is in the report.
    pub async fn drill(
        &mut self,
        drill: &Drill,
        mut cancel: watch::Receiver<bool>,
    ) -> Result<DrillReport, DrillError> {
        let run = format!("{}-{}", jiff::Timestamp::now().as_second(), std::process::id());
        let place = drill.target.mount.as_ref().map(|mount| {
            let file = mount.directory.join(format!("{FILE_PREFIX}{run}"));
            (mount.directory.clone(), file)
        });
        let mut traffic = Traffic::new();
        let cut = OnceLock::new();
        let result = tokio::select! {
            result = self.carry_out(drill, &mut traffic, place.as_ref(), &run, &cut) => result,
            Ok(_) = cancel.wait_for(|cancelled| *cancelled) => {
                Err(DrillError::Interrupted { cut: cut.get().cloned() })
            }
        };
        traffic.stop().await;
        if let Some((directory, file)) = &place {
            remove_file(&self.fleet, &drill.nodes, directory, file).await;
        }
        result
    }

    async fn carry_out(
        &mut self,
        drill: &Drill,
        traffic: &mut Traffic,
        place: Option<&(Utf8PathBuf, Utf8PathBuf)>,
        run: &str,
        cut: &OnceLock<NodeName>,
    ) -> Result<DrillReport, DrillError> {
        let victim = &drill.target.victim;
        if let Some((directory, file)) = place {
            make_file(&self.fleet, victim, directory, file).await?;
            traffic.write(&self.fleet, drill, directory, file, run).await?;
        }
        if let Some(expect) = &drill.target.ask {
            traffic.ask(expect)?;
        }
        warm_up(drill, traffic).await?;
        let kernel_before = self.kernel_logs(drill).await;

        let mut noted = Noted::default();
        let asked_at = traffic.elapsed();
        // Only set once.
        let _ = cut.set(victim.clone());
        self.say(format!("{}: asks fencing to cut the power of {victim}", drill.fencer));
        match self.fence(drill).await? {
            Ok(()) => {
                let took = traffic.elapsed().saturating_sub(asked_at);
                self.say(format!("{victim}: fenced after {:.1} s", took.as_secs_f64()));
                noted.fenced_after = Some(took);
            }
            Err(why) => noted.problems.push(format!("{victim} was not fenced: {why}")),
        }
        self.wait_for_takeover(drill, traffic, place, &mut noted).await?;
        self.wait_for_return(drill, traffic, asked_at, &mut noted).await?;
        let after = self.verify(RETURN_LIMIT).await?;
        traffic.stop().await;

        let writes = match place {
            Some((directory, file)) => {
                let lost = self.lost_writes(drill, traffic, file, run, &mut noted).await?;
                let writes = traffic.writes();
                Some(WriteReport {
                    directory: directory.to_string(),
                    acknowledged: writes.len(),
                    lost,
                    outage_ms: writes.outage(victim).map(millis),
                })
            }
            None => None,
        };
        let kernel_after = self.kernel_logs(drill).await;
        let resynced = kernel_before
            .iter()
            .filter_map(|(node, before)| resynced_bytes(before, kernel_after.get(node)?))
            .reduce(|sum, bytes| sum + bytes);
        Ok(DrillReport {
            format: DRILL_FORMAT,
            drill: "failover",
            cluster: drill.cluster.clone(),
            group: drill.target.group.clone(),
            victim: victim.clone(),
            asked: drill.fencer.clone(),
            survivor: noted.survivor,
            fenced_after_ms: noted.fenced_after.map(millis),
            back_after_ms: noted.back_after.map(millis),
            writes,
            requests: drill.target.ask.as_ref().map(|expect| request_report(expect, traffic)),
            resynced_bytes: resynced,
            after,
            problems: noted.problems,
        })
    }

    fn say(&self, text: String) {
        self.events.emit(Event::Note { text });
    }

    /// Has Pacemaker's fencer cut the power; what it says when it could not.
    async fn fence(&self, drill: &Drill) -> Result<Result<(), String>, DrillError> {
        let Some(transport) = self.fleet.get(&drill.fencer) else {
            return Ok(Err(format!("{} is not connected", drill.fencer)));
        };
        let limit = FENCE_LIMIT_S.to_string();
        let words = ["stonith_admin", "--reboot", drill.target.victim.as_str(), "--timeout", limit.as_str()];
        let command = Command::new(words).timeout(Duration::from_secs(2 * FENCE_LIMIT_S));
        let output = transport.exec(&command).await?;
        Ok(if output.status.success() {
            Ok(())
        } else {
            Err(format!("stonith_admin: {}: {}", output.status, output.stderr_text().trim()))
        })
    }

    /// Waits until the group runs on another node and does there what it is for.
    async fn wait_for_takeover(
        &mut self,
        drill: &Drill,
        traffic: &Traffic,
        place: Option<&(Utf8PathBuf, Utf8PathBuf)>,
        noted: &mut Noted,
    ) -> Result<(), DrillError> {
        let (target, began) = (&drill.target, Instant::now());
        let fenced_at = traffic.elapsed();
        while began.elapsed() < TAKEOVER_LIMIT {
            self.look(drill, &[ClusterQuery::Status]).await?;
            if noted.survivor.is_none()
                && let Ok(status) = self.cluster_status(&drill.fencer)
            {
                let nodes = status.running_on(&target.group);
                noted.survivor = nodes
                    .iter()
                    .find(|node| **node != target.victim.as_str())
                    .and_then(|node| NodeName::new(*node).ok());
            }
            let written = target.mount.is_none() || traffic.writes().taken_over(&target.victim).is_some();
            if let (Some(survivor), Some((directory, file)), false) = (&noted.survivor, place, written)
                && is_missing(&self.fleet, survivor, directory, file).await?
            {
                let there = format!("the file of the drill is not on {directory} as {survivor} has it");
                noted.problems.push(there);
                return Ok(());
            }
            let answered = target.ask.is_none() || traffic.answered_since(fenced_at);
            if let (Some(survivor), true, true) = (&noted.survivor, written, answered) {
                self.say(format!("{}: runs on {survivor}", target.group));
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let what = match &noted.survivor {
            Some(node) => format!("{} runs on {node}, but nobody could use it", target.group),
            None => format!("{} ran nowhere else", target.group),
        };
        noted.problems.push(format!("{what} within {} s", TAKEOVER_LIMIT.as_secs()));
        Ok(())
    }

    /// Waits until the node is a member again and Pacemaker has nothing left to do.
    async fn wait_for_return(
        &mut self,
        drill: &Drill,
        traffic: &Traffic,
        asked_at: Duration,
        noted: &mut Noted,
    ) -> Result<(), DrillError> {
        let began = Instant::now();
        let online = Check::Online { nodes: drill.nodes.iter().cloned().collect() };
        let victim = &drill.target.victim;
        self.say(format!("waiting until {victim} is back, online and clean"));
        let missing = loop {
            self.look(drill, &[ClusterQuery::Status, ClusterQuery::Idle]).await?;
            let judged = self.facts.node(&drill.fencer).map_or_else(
                || Err(format!("{} does not answer", drill.fencer)),
                |facts| {
                    let observe = |query: &Query| facts.observation(query);
                    online.judge(&observe).and_then(|()| Check::Settled.judge(&observe))
                },
            );
            match judged {
                Ok(()) => {
                    let took = traffic.elapsed().saturating_sub(asked_at);
                    self.say(format!("{victim}: back after {:.1} s", took.as_secs_f64()));
                    noted.back_after = Some(took);
                    return Ok(());
                }
                Err(why) if began.elapsed() >= RETURN_LIMIT => break why,
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        };
        let limit = RETURN_LIMIT.as_secs();
        noted.problems.push(format!("{victim} was not back and settled within {limit} s: {missing}"));
        Ok(())
    }

    /// Asks the survivor that asked for the fencing.
    async fn look(&mut self, drill: &Drill, queries: &[ClusterQuery]) -> Result<(), DrillError> {
        let queries: BTreeSet<Query> = queries.iter().copied().map(Query::Cluster).collect();
        self.observe(&BTreeMap::from([(drill.fencer.clone(), queries)])).await;
        match self.facts.failures().find(|(node, _)| **node == drill.fencer) {
            Some((_, error)) => Err(error.clone().into()),
            None => Ok(()),
        }
    }

    /// Reads the file where the volume is mounted now, and counts what is missing of what was acknowledged.
    async fn lost_writes(
        &mut self,
        drill: &Drill,
        traffic: &Traffic,
        file: &Utf8PathBuf,
        run: &str,
        noted: &mut Noted,
    ) -> Result<usize, DrillError> {
        self.look(drill, &[ClusterQuery::Status]).await?;
        let status = self.cluster_status(&drill.fencer)?;
        let mount = drill.target.mount.as_ref().map(|mount| mount.resource.as_str()).unwrap_or_default();
        let holder = status.running_on(mount).into_iter().next().and_then(|node| NodeName::new(node).ok());
        let content = match holder.as_ref().and_then(|node| self.fleet.get(node)) {
            Some(transport) => transport.read(file).await?,
            None => None,
        };
        if content.is_none() && noted.problems.is_empty() {
            noted.problems.push(format!("the file of the drill, {file}, is not there any more"));
        }
        Ok(count_lost(&traffic.writes(), &Records::read(run, &content.unwrap_or_default())))
    }

    /// What the kernels of the survivors say of resynchronisations.
    async fn kernel_logs(&self, drill: &Drill) -> BTreeMap<NodeName, String> {
        if drill.target.mount.is_none() {
            return BTreeMap::new();
        }
        let survivors = self.fleet.select(|node| drill.nodes.contains(node) && *node != drill.target.victim);
        let command = &Command::new(["sh", "-c", RESYNC_LOG]).timeout(LOG_TIMEOUT);
        let answers = survivors
            .each(survivors.len(), |transport| async move {
                transport.exec(command).await.ok().map(|output| output.stdout_text())
            })
            .await;
        answers.into_iter().filter_map(|(node, text)| Some((node, text?))).collect()
    }
}

/// Waits until what is measured works, on the node that will be cut.
async fn warm_up(drill: &Drill, traffic: &Traffic) -> Result<(), DrillError> {
    let target = &drill.target;
    loop {
        let written = target.mount.is_none() || traffic.writes().of(&target.victim) >= WARM_UP_WRITES;
        let requests = traffic.requests();
        let answered = requests.iter().filter(|request| request.answered).count();
        let failed = requests.len() - answered;
        if written && (target.ask.is_none() || answered >= WARM_UP_ANSWERS) {
            return if failed == 0 {
                Ok(())
            } else {
                Err(DrillError::NotMeasurable(format!("{failed} of {} requests failed", requests.len())))
            };
        }
        if traffic.elapsed() >= WARM_UP_LIMIT {
            let what = if written { "requests are not answered" } else { "records cannot be written" };
            return Err(DrillError::NotMeasurable(format!(
                "{what} ({} records, {answered} answers within {} s)",
                traffic.writes().len(),
                WARM_UP_LIMIT.as_secs()
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn request_report(expect: &Expect, traffic: &Traffic) -> RequestReport {
    let requests = traffic.requests();
    let asked = match expect {
        Expect::Http { url, .. } => url.clone(),
        Expect::Tcp { address, port } => format!("{address} port {port}"),
        _ => String::new(),
    };
    RequestReport {
        asked,
        sent: requests.len(),
        failed: requests.iter().filter(|request| !request.answered).count(),
        outage_ms: outage(&requests).map(millis),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
