//! Many nodes: one sshd in a network namespace of its own, reached under as many addresses of 127.0.0.0/8 as there
//! are nodes; 25 clusters of 8.
//!
//! All "nodes" are this machine, so that preflight would refuse them (their host name is wrong, no
//! interface has their links' addresses): the plan ends with exit code 5, after the same work as any other.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::command::{run, run_for, text};
use crate::figure::{Figure, Goal};
use crate::measure::{Side, alternate_cold, timed};
use crate::remote::{self, Probe, Way};

/// Rounds of each comparison.
const ROUNDS: usize = 2;
/// Clusters, and nodes of each.
const CLUSTERS: usize = 25;
const NODES_PER_CLUSTER: usize = 8;
/// How many nodes are asked at a time, by both sides: hactl's default.
const PARALLEL: usize = 32;
/// Where sshd listens.
const PORT: u16 = 2222;
/// How long sshd may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A plan that found differences and refusals.
const REFUSED: i32 = 5;
/// Memory that hactl may use, in MiB.
const MEMORY_MIB: f64 = 200.0;
/// How often its memory is looked at; the kernel keeps the peak.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// The numbers of clusters with which growth is measured, the last one being all.
const STEPS: [usize; 2] = [6, CLUSTERS];
/// What the names of the network namespaces begin with; the id of the process follows.
const NAMESPACE: &str = "hactl-bench-";

/// Measures.
///
/// # Errors
/// sshd does not start, hactl or ssh fail.
pub(crate) fn measure(folder: &Utf8Path) -> Result<Vec<Figure>> {
    let crowd = Crowd::start(&folder.join("crowd"))?;
    let scripts = crowd.record()?;
    let probe = Probe::new(crowd.way.clone(), &scripts, &crowd.folder.join("probe"))?;
    let inventories: Vec<Utf8PathBuf> = STEPS
        .iter()
        .map(|clusters| crowd.inventory(*clusters, &crowd.way.identity))
        .collect::<Result<_>>()?;
    let mut peak_kib = 0;
    let mut sides: Vec<Side<'_>> = vec![Box::new(|| probe.run(PARALLEL))];
    for inventory in &inventories[..STEPS.len() - 1] {
        sides.push(Box::new(|| timed(|| run_for(&mut crowd.plan(inventory), &[REFUSED]))));
    }
    let whole = &inventories[STEPS.len() - 1];
    sides.push(Box::new(|| {
        let (took, kib) = watched(&mut crowd.plan(whole))?;
        peak_kib = peak_kib.max(kib);
        Ok(took)
    }));
    // Recording was the unmeasured round.
    let samples = alternate_cold(ROUNDS, &mut sides)?;
    drop(sides);
    let (least, most) = (&samples[1], &samples[STEPS.len()]);
    let growth = f64::from(u32::try_from(CLUSTERS)?) / f64::from(u32::try_from(STEPS[0])?);
    let nodes = |clusters: usize| clusters * NODES_PER_CLUSTER;
    let peak_mib = f64::from(u32::try_from(peak_kib)?) / 1024.0;
    let name = format!("plan, {} nodes in {CLUSTERS} clusters", nodes(CLUSTERS));
    let detail = format!("plan {most}, probe {}", samples[0]);
    let against = format!("ssh with the same scripts in one, {PARALLEL} at a time");
    let steps: Vec<String> = STEPS
        .iter()
        .zip(&samples[1..])
        .map(|(clusters, it)| format!("{} nodes {it}", nodes(*clusters)))
        .collect();
    Ok(vec![
        Figure::new(&name, &against, Goal::AtMost(1.3), most.median() / samples[0].median(), "x", detail),
        Figure::new(
            &format!("{name}: peak memory"),
            "200 MiB",
            Goal::AtMost(MEMORY_MIB),
            peak_mib,
            "MiB",
            String::new(),
        ),
        Figure::new(
            &format!("{name}: growth of time"),
            &format!("{growth:.2} x the time of {} nodes", nodes(STEPS[0])),
            Goal::AtMost(1.25),
            most.median() / least.median() / growth,
            "x",
            steps.join(", "),
        ),
    ])
}

/// Runs a plan and returns, with its time, the most memory that it had resident, in KiB (`VmHWM`, proc(5)).
fn watched(command: &mut Command) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Ok(status) = std::fs::read_to_string(&status_file)
            && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            peak_kib = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM is a number")?;
        }
        if let Some(status) = child.try_wait()? {
            let took = began.elapsed();
            ensure!(status.code() == Some(REFUSED), "{command:?} ended with {status}");
            return Ok((took, peak_kib));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// An sshd under many addresses.
struct Crowd {
    folder: Utf8PathBuf,
    namespace: String,
    sshd: Child,
    way: Way,
}

impl Crowd {
    fn start(folder: &Utf8Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        std::fs::create_dir_all("/run/sshd")?;
        forget_stale()?;
        let namespace = format!("{NAMESPACE}{}", std::process::id());
        let way = Way {
            // Not `ip netns exec`, whose mounts would cost every ssh of the probe more than its connection does.
            wrapper: vec!["nsenter".to_owned(), format!("--net=/run/netns/{namespace}")],
            identity: folder.join("key"),
            known_hosts: folder.join("known_hosts"),
            port: PORT,
        };
        let host = remote::key(&folder.join("host"))?;
        let public = remote::key(&way.identity)?;
        let recorder = folder.join("recorder");
        std::fs::write(&recorder, remote::recorder(folder.join("records").as_str()))?;
        run(Command::new("chmod").args(["755", recorder.as_str()]))?;
        let recorded = remote::key(&folder.join("recorded"))?;
        std::fs::write(
            folder.join("authorized_keys"),
            format!("{public}\ncommand=\"{recorder}\" {recorded}\n"),
        )?;
        std::fs::write(&way.known_hosts, format!("[127.*]:{PORT} {host}\n"))?;
        // A home without start files: bash reads ~/.bashrc under sshd, and what the user of this machine does in there
        // is no work of a node.
        let config = format!(
            "Port {PORT}\nListenAddress 0.0.0.0\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             MaxStartups 1000\nLogLevel ERROR\nSetEnv HOME={folder}\n"
        );
        std::fs::write(folder.join("sshd_config"), config)?;
        run(Command::new("ip").args(["netns", "add", &namespace]))?;
        let mut sshd = way.command("/usr/sbin/sshd");
        let spawned =
            run(Command::new("ip").args(["-n", &namespace, "link", "set", "lo", "up"])).and_then(|_| {
                sshd.args(["-D", "-e", "-f", folder.join("sshd_config").as_str()]);
                Ok(sshd.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
            });
        match spawned {
            Ok(sshd) => {
                let crowd = Self { folder: folder.to_owned(), namespace, sshd, way };
                crowd.wait()?;
                Ok(crowd)
            }
            Err(error) => {
                forget(&namespace);
                Err(error)
            }
        }
    }

    /// Waits until sshd answers.
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while let Err(error) = remote::on(&self.way, "127.0.0.1", "true") {
            if Instant::now() >= deadline {
                bail!("sshd does not answer: {error:#}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Writes an inventory of this many clusters.
    fn inventory(&self, clusters: usize, identity: &Utf8Path) -> Result<Utf8PathBuf> {
        let mut text = String::from("clusters:\n");
        for cluster in 1..=clusters {
            text.push_str(&format!(
                "  c{cluster:02}:\n    ssh: {{ user: root, port: {PORT}, identity: {identity}, known_hosts: {} }}\n    \
                 barclamps: {{ pacemaker: {{ fencing: {{ disabled: these nodes are one machine }} }} }}\n    nodes:\n",
                self.way.known_hosts
            ));
            for node in 1..=NODES_PER_CLUSTER {
                let address = format!("127.1.{cluster}.{node}");
                // 198.18.0.0/15 is for benchmarks (RFC 2544): no interface has such an address.
                let link = format!("198.18.{cluster}.{node}");
                text.push_str(&format!(
                    "      c{cluster:02}n{node}: {{ address: {address}, links: [{link}] }}\n"
                ));
            }
        }
        let key = identity.file_name().unwrap_or("key");
        let file = self.folder.join(format!("inventory-{clusters}-{key}.yml"));
        std::fs::write(&file, text)?;
        Ok(file)
    }

    fn plan(&self, inventory: &Utf8Path) -> Command {
        let mut command = self.way.command(env!("CARGO_BIN_EXE_hactl"));
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.args(["plan", "-i", inventory.as_str(), "--parallel", &PARALLEL.to_string()]);
        command
    }

    /// The scripts that a plan sends, by the address that they were sent to.
    fn record(&self) -> Result<BTreeMap<String, String>> {
        let inventory = self.inventory(CLUSTERS, &self.folder.join("recorded"))?;
        run_for(&mut self.plan(&inventory), &[REFUSED])?;
        let mut scripts = BTreeMap::new();
        for entry in self.folder.join("records").read_dir_utf8()? {
            let records = entry?.into_path();
            let mut files: Vec<Utf8PathBuf> = records
                .read_dir_utf8()?
                .map(|entry| entry.map(|it| it.into_path()))
                .collect::<Result<_, _>>()?;
            files.sort();
            let mut script = String::new();
            for file in files {
                script.push_str(&std::fs::read_to_string(&file)?);
                script.push('\n');
            }
            scripts.insert(records.file_name().context("a folder has a name")?.to_owned(), script);
        }
        let expected = CLUSTERS * NODES_PER_CLUSTER;
        ensure!(scripts.len() == expected, "{} of {expected} nodes were sent a script", scripts.len());
        Ok(scripts)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Err(error) = self.sshd.kill().and_then(|()| self.sshd.wait()) {
            eprintln!("sshd could not be ended: {error}");
        }
        forget(&self.namespace);
    }
}

/// Ends what a killed measurement left behind: its sshd and its network namespace.
fn forget_stale() -> Result<()> {
    let listed = text(Command::new("ip").args(["netns", "list"]))?;
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let Some(process) = name.strip_prefix(NAMESPACE) else { continue };
        if Utf8Path::new("/proc").join(process).exists() {
            continue;
        }
        let pids = text(Command::new("ip").args(["netns", "pids", name]))?;
        for pid in pids.split_whitespace() {
            run(Command::new("kill").arg(pid))?;
        }
        run(Command::new("ip").args(["netns", "delete", name]))?;
    }
    Ok(())
}

fn forget(namespace: &str) {
    if let Err(error) = run(Command::new("ip").args(["netns", "delete", namespace])) {
        eprintln!("{error:#}");
    }
}
