//! An idle `hactl plan` against Ansible and pyinfra, which look at the same things and find nothing to do either.
//!
//! Both come from the Python package index into a virtual environment below `target/bench`. Ansible runs with
//! pipelining, one fork per node, persistent connections and without gathering facts; pyinfra with all hosts at once.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::command::run;
use crate::figure::{Figure, Goal};
use crate::idle::idle_plan;
use crate::lab::Lab;
use crate::measure::{Side, alternate, timed};

/// Rounds of the comparison.
const ROUNDS: usize = 5;
/// The cluster's files, and what they are called below the bench's folder.
const FILES: [(&str, &str); 3] = [
    ("/etc/corosync/corosync.conf", "corosync.conf"),
    ("/etc/corosync/authkey", "authkey"),
    ("/etc/haproxy/haproxy.cfg", "haproxy.cfg"),
];
/// What the two need on a node that a cluster's packages do not bring.
const NODE_PACKAGES: &str =
    "DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends python3 python3-apt";

/// Measures.
///
/// # Errors
/// One of the three does not run, or finds something to do.
pub(crate) fn measure(lab: &Lab, folder: &Utf8Path) -> Result<Vec<Figure>> {
    let peers = Peers::prepare(lab, folder)?;
    let mut sides: [Side<'_>; 3] =
        [Box::new(|| idle_plan(lab)), Box::new(|| peers.ansible()), Box::new(|| peers.pyinfra())];
    let samples = alternate(ROUNDS, &mut sides)?;
    let figure =
        |name: &str, samples: &crate::measure::Samples, ours: &crate::measure::Samples, goal: f64| {
            let ratio = samples.median() / ours.median();
            let detail = format!("{name} {samples}, plan {ours}");
            Figure::new(
                "idle plan, 3 nodes: how many times faster",
                name,
                Goal::AtLeast(goal),
                ratio,
                "x",
                detail,
            )
        };
    Ok(vec![
        figure("ansible-playbook, same tasks", &samples[1], &samples[0], 20.0),
        figure("pyinfra, same operations", &samples[2], &samples[0], 3.0),
    ])
}

struct Peers {
    programs: Utf8PathBuf,
    folder: Utf8PathBuf,
}

impl Peers {
    fn prepare(lab: &Lab, folder: &Utf8Path) -> Result<Self> {
        let programs = virtual_environment(folder)?;
        let folder = folder.join("peers");
        std::fs::create_dir_all(&folder)?;
        let mut cluster = String::new();
        for node in lab.nodes().keys() {
            cluster = fetch(lab, node, &folder)?;
            lab.on(node, NODE_PACKAGES)?;
        }
        let ssh = format!("-F none -o UserKnownHostsFile={} -o IdentitiesOnly=yes", lab.way.known_hosts);
        let mut ini = String::from("[cluster]\n");
        let mut hosts = String::new();
        for (node, address) in lab.nodes() {
            ini.push_str(&format!("{node} ansible_host={address}\n"));
            hosts.push_str(&format!("    (\"{node}\", {{\"ssh_hostname\": \"{address}\"}}),\n"));
        }
        ini.push_str(&format!(
            "[cluster:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\n\
             ansible_ssh_private_key_file={key}\nfiles={folder}\ncluster={cluster}\n",
            key = lab.way.identity,
        ));
        std::fs::write(folder.join("hosts.ini"), ini)?;
        let settings = "[defaults]\nforks = 16\ngathering = explicit\n[ssh_connection]\npipelining = True\n";
        std::fs::write(
            folder.join("ansible.cfg"),
            format!("{settings}ssh_args = -o ControlMaster=auto -o ControlPersist=60s {ssh}\n"),
        )?;
        let data = format!(
            "{{\"ssh_user\": \"root\", \"ssh_key\": \"{}\", \"ssh_known_hosts_file\": \"{}\", \
             \"ssh_strict_host_key_checking\": \"yes\", \"files\": \"{folder}\", \"cluster\": \"{cluster}\"}}",
            lab.way.identity, lab.way.known_hosts,
        );
        std::fs::write(folder.join("hosts.py"), format!("cluster = ([\n{hosts}], {data})\n"))?;
        Ok(Self { programs, folder })
    }

    fn ansible(&self) -> Result<Duration> {
        let mut ansible = Command::new(self.programs.join("ansible-playbook"));
        ansible.env("ANSIBLE_CONFIG", self.folder.join("ansible.cfg"));
        ansible.args(["-i", self.folder.join("hosts.ini").as_str(), &source("playbook.yml")]);
        let mut said = String::new();
        let took = timed(|| {
            said = String::from_utf8_lossy(&run(&mut ansible)?.stdout).into_owned();
            Ok(())
        })?;
        let recap: Vec<&str> = said.lines().filter(|line| line.contains("changed=")).collect();
        let idle = !recap.is_empty() && recap.iter().all(|line| line.contains("changed=0 "));
        ensure!(idle, "Ansible found something to do:\n{said}");
        Ok(took)
    }

    fn pyinfra(&self) -> Result<Duration> {
        let mut pyinfra = Command::new(self.programs.join("pyinfra"));
        pyinfra.args(["--yes", self.folder.join("hosts.py").as_str(), &source("deploy.py")]);
        pyinfra.current_dir(&self.folder);
        let mut said = String::new();
        let took = timed(|| {
            let output = run(&mut pyinfra)?;
            said = [output.stdout, output.stderr]
                .map(|stream| String::from_utf8_lossy(&stream).into_owned())
                .concat();
            Ok(())
        })?;
        let total = said.lines().rev().find(|line| line.contains("Grand total")).unwrap_or_default();
        // Hosts, changed, not changed: the column of changes is a dash.
        let columns: Vec<&str> = total.split_whitespace().collect();
        ensure!(columns.get(3) == Some(&"-"), "pyinfra found something to do:\n{said}");
        Ok(took)
    }
}

/// The folder with the programs of a virtual environment that has what `requirements.txt` names.
fn virtual_environment(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    let environment = folder.join("venv");
    let programs = environment.join("bin");
    if !programs.join("pip").exists() {
        run(Command::new("python3").args(["-m", "venv", environment.as_str()]))
            .context("python3 with its venv module is needed (apt-get install python3-venv)")?;
    }
    let mut pip = Command::new(programs.join("pip"));
    run(pip.args(["install", "--quiet", "--disable-pip-version-check", "-r", &source("requirements.txt")]))?;
    Ok(programs)
}

/// Gets a node's files and its block of `/etc/hosts`; the name of the cluster is in the block's first line.
fn fetch(lab: &Lab, node: &str, folder: &Utf8Path) -> Result<String> {
    let mine = folder.join(node);
    std::fs::create_dir_all(&mine)?;
    for (path, name) in FILES {
        let output = run(lab.way.ssh(&lab.address(node)?).args(["cat", path]))?;
        std::fs::write(mine.join(name), output.stdout)?;
    }
    let hosts = lab.on(node, "cat /etc/hosts")?;
    let block: Vec<&str> =
        hosts.lines().skip_while(|line| !line.starts_with("# BEGIN hactl cluster ")).collect();
    let first = block.first().context("there is no block in /etc/hosts")?;
    let inside: Vec<&str> =
        block.iter().skip(1).take_while(|line| !line.starts_with("# END ")).copied().collect();
    std::fs::write(mine.join("hosts-block"), inside.join("\n") + "\n")?;
    Ok(first.trim_start_matches("# BEGIN hactl cluster ").to_owned())
}

/// A file that is kept beside this source.
fn source(name: &str) -> String {
    format!("{}/benches/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}
