//! A three-node lab for the measurements, taken down when it is dropped.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use hactl::inventory::{Cluster, Source, load};

use crate::command::{run, run_for, text};
use crate::measure::timed;
use crate::remote::{self, Way};

/// How many nodes the lab has.
const NODES: &str = "3";
/// The last part of the virtual address; the lab keeps 100 to 199 free.
const VIP_HOST: u8 = 100;

/// A lab that is up.
pub(crate) struct Lab {
    name: String,
    inventory: Utf8PathBuf,
    services: Utf8PathBuf,
    state: Utf8PathBuf,
    cluster: Cluster,
    /// The virtual address.
    pub(crate) vip: String,
    /// The way to the nodes.
    pub(crate) way: Way,
}

/// The hactl that is measured.
pub(crate) fn hactl(state: &Utf8Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    // Its logs are nobody's.
    command.env("XDG_STATE_HOME", state);
    command
}

impl Lab {
    /// Brings up a lab of bare nodes; one of the same name that an earlier run left is taken down first.
    ///
    /// # Errors
    /// The lab does not come up.
    pub(crate) fn up(name: &str, folder: &Utf8Path) -> Result<Self> {
        Self::up_with(name, folder, &["--package", "python3-apt"])
    }

    /// The same with these options of `hactl lab up`.
    ///
    /// # Errors
    /// The lab does not come up.
    pub(crate) fn up_with(name: &str, folder: &Utf8Path, options: &[&str]) -> Result<Self> {
        let state = folder.join("state");
        run_for(hactl(&state).args(["lab", "down", "--name", name]), &[0, 1, 3, 4, 5, 6])?;
        run(hactl(&state).args(["lab", "up", "--name", name, "--nodes", NODES]).args(options))?;
        let status = text(hactl(&state).args(["lab", "status", "--name", name, "--json"]))?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let inventory = status["inventory"].as_str().context("the lab does not name its inventory")?;
        let loaded =
            load(&[Source::from(inventory)], &BTreeMap::new()).map_err(|e| anyhow::anyhow!("{e}"))?;
        let cluster = loaded.inventory.clusters.into_values().next().context("the lab has no cluster")?;
        let node = cluster.nodes.values().next().context("the lab has no node")?;
        let way = Way {
            wrapper: Vec::new(),
            identity: node.ssh.identities.first().context("the lab has no key")?.clone(),
            known_hosts: node.ssh.known_hosts.clone().context("the lab has no known hosts")?,
            port: 22,
        };
        let network = node.address.to_string();
        let network = network.rsplit_once('.').context("an IPv4 address")?.0;
        let vip = format!("{network}.{VIP_HOST}");
        let services = folder.join("services.yml");
        let barclamps = format!("pacemaker: {{}}, haproxy: {{ vip: {{ address: {vip}, prefix: 24 }} }}");
        std::fs::write(&services, format!("clusters: {{ {name}: {{ barclamps: {{ {barclamps} }} }} }}\n"))?;
        let (name, inventory) = (name.to_owned(), Utf8PathBuf::from(inventory));
        Ok(Self { name, inventory, services, state, cluster, vip, way })
    }

    /// A verb of hactl on this lab's inventory.
    pub(crate) fn hactl(&self, verb: &str) -> Command {
        self.hactl_with(verb, &self.inventory)
    }

    /// A verb of hactl with another file in place of the lab's own inventory.
    pub(crate) fn hactl_with(&self, verb: &str, inventory: &Utf8Path) -> Command {
        let mut command = hactl(&self.state);
        command.args([verb, "-i", inventory.as_str(), "-i", self.services.as_str()]);
        command
    }

    /// The lab's own inventory.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn inventory_text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.inventory)?)
    }

    /// Makes the nodes a cluster that is verified; how long that took.
    ///
    /// # Errors
    /// hactl does not end with 0.
    pub(crate) fn apply(&self) -> Result<Duration> {
        timed(|| run(self.hactl("apply").arg("--yes")))
    }

    /// Names and addresses of the nodes.
    pub(crate) fn nodes(&self) -> BTreeMap<String, String> {
        self.cluster.nodes.values().map(|node| (node.name.to_string(), node.address.to_string())).collect()
    }

    /// The address of a node.
    ///
    /// # Errors
    /// There is no such node.
    pub(crate) fn address(&self, node: &str) -> Result<String> {
        self.nodes().remove(node).with_context(|| format!("there is no node {node}"))
    }

    /// The first node by name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn first(&self) -> Result<String> {
        self.nodes().into_keys().next().context("the lab has no node")
    }

    /// The password of the lab's fence device.
    ///
    /// # Errors
    /// The lab does not keep it beside its inventory.
    pub(crate) fn fence_secret(&self) -> Result<String> {
        let file = self.inventory.with_file_name("fence-secret");
        Ok(std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?.trim().to_owned())
    }

    /// What a command prints on a node.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn on(&self, node: &str, command: &str) -> Result<String> {
        remote::on(&self.way, &self.address(node)?, command)
    }

    /// Runs a command of the lab on this one: `fault`, for example.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn lab(&self, verb: &str, arguments: &[&str]) -> Result<()> {
        run(hactl(&self.state).args(["lab", verb, "--name", &self.name]).args(arguments)).map(|_| ())
    }

    /// Takes it down and brings it up again, its nodes bare.
    ///
    /// # Errors
    /// One of the two fails.
    pub(crate) fn renew(self, folder: &Utf8Path) -> Result<Self> {
        let name = self.name.clone();
        drop(self);
        Self::up(&name, folder)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = run(hactl(&self.state).args(["lab", "down", "--name", &self.name])) {
            eprintln!("the lab {} could not be taken down: {error:#}", self.name);
        }
    }
}
