//! From bare nodes to a verified cluster, against what cannot be avoided: installing the packages on the slowest node,
//! and the time in which the cluster forms by itself.
//!
//! Three times the lab comes up with bare nodes: hactl's apply, the bare minimum, hactl's apply again. The minimum is a
//! person with a script and the finished files at hand: apt on all nodes at once, then both daemons started on all
//! nodes at once, the CIB replaced when all are online, done when Pacemaker is idle and the service answers. The files
//! that it uses are those of the first cluster; putting them in place is not timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;

use crate::LAB;
use crate::failover::answer;
use crate::figure::{Figure, Goal};
use crate::lab::Lab;
use crate::measure::{Samples, timed};
use crate::remote;

/// The packages that hactl installs for these services.
const PACKAGES: &str = "corosync haproxy pacemaker pacemaker-cli-utils resource-agents";
/// The files that make the cluster, with their permission bits.
const FILES: [(&str, &str); 4] = [
    ("/etc/hosts", "0644"),
    ("/etc/corosync/corosync.conf", "0644"),
    ("/etc/corosync/authkey", "0400"),
    ("/etc/haproxy/haproxy.cfg", "0644"),
];
/// Daemons that must not start before their files are there; hactl masks them in the same way.
const MASKED: &str = "corosync.service pacemaker.service haproxy.service";
/// How long the service may take to answer once Pacemaker is idle.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Measures, and leaves a lab whose cluster hactl made.
///
/// # Errors
/// No lab with a cluster could be brought about. A failed measurement is the inner error.
pub(crate) fn measure(folder: &Utf8Path) -> Result<(Lab, Result<Vec<Figure>>)> {
    let lab = Lab::up(LAB, folder)?;
    let mut ours = Samples::default();
    ours.push(lab.apply()?);
    let finished = Finished::take(&lab);
    let lab = lab.renew(folder)?;
    let minimum = finished.and_then(|finished| finished.repeat(&lab));
    let lab = lab.renew(folder)?;
    ours.push(lab.apply()?);
    let figures = minimum.map(|minimum| {
        let detail = format!(
            "apply {ours}; apt {:.1} s on the slowest node, formation {:.1} s",
            minimum.apt.as_secs_f64(),
            minimum.formation.as_secs_f64()
        );
        let least = minimum.apt + minimum.formation;
        vec![Figure::new(
            "bare nodes to a verified cluster, 3 nodes",
            "apt-get on the slowest node + formation",
            Goal::AtMost(1.25),
            ours.median() / least.as_secs_f64(),
            "x",
            detail,
        )]
    });
    Ok((lab, figures))
}

struct Minimum {
    apt: Duration,
    formation: Duration,
}

/// A file of a node: path, mode, content.
type NodeFile = (&'static str, &'static str, Vec<u8>);

/// What a finished cluster consists of.
struct Finished {
    files: BTreeMap<String, Vec<NodeFile>>,
    configuration: String,
    fence_secret: String,
}

impl Finished {
    fn take(lab: &Lab) -> Result<Self> {
        let mut files = BTreeMap::new();
        for node in lab.nodes().keys() {
            let mut all = Vec::new();
            for (path, mode) in FILES {
                let output = crate::command::run(lab.way.ssh(&lab.address(node)?).args(["cat", path]))?;
                all.push((path, mode, output.stdout));
            }
            files.insert(node.clone(), all);
        }
        let configuration = lab.on(&lab.first()?, "cibadmin --query --scope configuration")?;
        Ok(Self { files, configuration, fence_secret: lab.fence_secret()? })
    }

    /// Makes the same cluster on bare nodes without hactl.
    fn repeat(&self, lab: &Lab) -> Result<Minimum> {
        let install = format!(
            "systemctl mask --runtime {MASKED} && apt-get -qq update && \
             DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends {PACKAGES}"
        );
        let apt = everywhere(lab, |node| lab.on(node, &install).map(|_| ()))?;
        for (node, files) in &self.files {
            for (path, mode, content) in files {
                remote::put(&lab.way, &lab.address(node)?, path, content)?;
                lab.on(node, &format!("chmod {mode} {path}"))?;
            }
            lab.on(node, &format!("systemctl unmask --runtime {MASKED}"))?;
        }
        let configuration = self.configuration.replace(&self.fence_secret, &lab.fence_secret()?);
        let first = lab.first()?;
        remote::put(&lab.way, &lab.address(&first)?, "/run/configuration.xml", configuration.as_bytes())?;
        let formation = timed(|| {
            everywhere(lab, |node| lab.on(node, "systemctl enable --now corosync pacemaker").map(|_| ()))?;
            let online = format!(
                "until [ \"$(crm_mon -1 --output-as=xml 2>/dev/null | grep -c '<node .*online=\"true\".*pending=\"false\"')\" \
                 = {} ]; do sleep 0.1; done",
                lab.nodes().len()
            );
            let replace = "cibadmin --replace --scope configuration --xml-file /run/configuration.xml";
            lab.on(&first, &format!("{online}; {replace} && crm_resource --wait --timeout 120"))?;
            let deadline = Instant::now() + ANSWER_LIMIT;
            while answer(&lab.vip).is_none() {
                if Instant::now() >= deadline {
                    bail!("the service does not answer");
                }
            }
            Ok(())
        })?;
        Ok(Minimum { apt, formation })
    }
}

/// Does something on all nodes at once; the time until the last one is done.
fn everywhere(lab: &Lab, work: impl Fn(&str) -> Result<()> + Sync) -> Result<Duration> {
    timed(|| {
        std::thread::scope(|scope| {
            let work = &work;
            let nodes = lab.nodes();
            let workers: Vec<_> = nodes
                .into_keys()
                .map(|node| scope.spawn(move || work(&node).with_context(|| node)))
                .collect();
            for worker in workers {
                match worker.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a thread that works on a node has failed"),
                }
            }
            Ok(())
        })
    })
}
