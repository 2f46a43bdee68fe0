//! What `up` writes for the people and programs that use the nodes: the inventory, ssh_config, known_hosts.
//!
//! In: a record, public host keys. Out: text. Pure.

use std::fmt::Write as _;
use std::path::Path;

use super::config::{Accelerator, Backend};
use super::network::with_last;
use super::record::{LabPaths, LabRecord};

/// First and last byte of the addresses that are free for virtual addresses.
pub(crate) const FREE_ADDRESSES: (u8, u8) = (100, 199);

/// The inventory for these nodes.
pub(crate) fn inventory(lab: &LabRecord, paths: &LabPaths) -> String {
    let mut text = format!(
        "# The nodes of lab `{}` (written by `hactl lab up`). Free for virtual addresses, on the first network: {}.\n\
         {}clusters:\n  {}:\n    nodes:\n",
        lab.name,
        free_addresses(lab),
        variables(lab),
        lab.name
    );
    for node in &lab.nodes {
        let links: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        let address = links.first().cloned().unwrap_or_default();
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "      {}: {{ address: {address}, links: [{}] }}", node.name, links.join(", "));
    }
    let patience = Patience::of(lab);
    let _ = write!(
        text,
        "{}{}    ssh: {{ user: root, identity: {}, known_hosts: {} }}\n    barclamps:\n      pacemaker:\n{}        \
         fencing:\n          agent: fence_hactl_lab\n          params: {{ ip: {}, ipport: {}, password: {{ file: {} }} }}\n          \
         per_node:\n",
        claim_policy(lab.backend),
        patience.as_ref().map_or_else(String::new, Patience::of_operations),
        quoted(&paths.identity()),
        quoted(&paths.known_hosts()),
        patience.as_ref().map_or_else(String::new, Patience::of_pacemaker),
        lab.fence.ip,
        lab.fence.port,
        quoted(&lab.fence.secret),
    );
    for node in &lab.nodes {
        let _ = writeln!(text, "            {}: {{ plug: {} }}", node.name, node.name);
    }
    text
}

/// Which disks of the nodes may be taken without being named.
fn claim_policy(backend: Backend) -> &'static str {
    match backend {
        Backend::Container => {
            "    # The disks are loop devices, and small.\n    claim_policy: { device_types: [disk, loop], minimum_size: 64MiB }\n"
        }
        Backend::Vm => "    # The disks are small.\n    claim_policy: { minimum_size: 64MiB }\n",
    }
}

/// How long a cluster waits for nodes that are emulated: a daemon may not be given a processor for seconds, and every
/// action begins with starting programs, many times slower than on the processor itself.
struct Patience {
    /// Until corosync gives up a silent node.
    token_ms: u32,
    /// For an operation of a resource or of a fence device, unless it says otherwise; Pacemaker's own default is 20 s.
    operation_s: u32,
    /// For fencing a node.
    fencing_s: u32,
}

impl Patience {
    /// What emulated nodes need; nothing where nodes run on the processor itself.
    fn of(lab: &LabRecord) -> Option<Self> {
        let emulated = lab.accelerator == Some(Accelerator::Tcg);
        emulated.then_some(Self { token_ms: 10_000, operation_s: 120, fencing_s: 180 })
    }

    fn of_operations(&self) -> String {
        format!(
            "    # The nodes are emulated, and slow: the cluster has patience.\n    operation_defaults: {{ timeout: {}s }}\n",
            self.operation_s
        )
    }

    fn of_pacemaker(&self) -> String {
        format!(
            "        corosync: {{ token_ms: {} }}\n        properties: {{ stonith-timeout: {}s }}\n",
            self.token_ms, self.fencing_s
        )
    }
}

/// The variable that inventories of services use for their address.
fn variables(lab: &LabRecord) -> String {
    lab.networks.first().map_or_else(String::new, |network| {
        format!("variables: {{ virtual_ip: {} }}\n", with_last(network.subnet, FREE_ADDRESSES.0))
    })
}

fn free_addresses(lab: &LabRecord) -> String {
    lab.networks.first().map_or_else(String::new, |network| {
        let (first, last) = FREE_ADDRESSES;
        format!("{} to {}", with_last(network.subnet, first), with_last(network.subnet, last))
    })
}

/// A JSON string is a YAML double-quoted one.
fn quoted(path: &Path) -> String {
    serde_json::Value::String(path.to_string_lossy().into_owned()).to_string()
}

/// For `ssh -F`.
pub(crate) fn ssh_config(lab: &LabRecord, paths: &LabPaths) -> String {
    let mut text = format!("# ssh -F {} NODE\n", paths.ssh_config().display());
    for node in &lab.nodes {
        let Some(address) = node.addresses.first() else { continue };
        let _ = writeln!(text, "Host {}\n  HostName {address}", node.name);
    }
    let _ = write!(
        text,
        "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ConnectTimeout 10\n  \
         ServerAliveInterval 5\n  ServerAliveCountMax 3\n  LogLevel ERROR\n",
        quoted(&paths.identity()),
        quoted(&paths.known_hosts()),
    );
    text
}

/// One line per node: its name, its addresses, its key.
pub(crate) fn known_hosts<'a>(lab: &LabRecord, keys: impl Iterator<Item = &'a str>) -> String {
    lab.nodes.iter().zip(keys).fold(String::new(), |mut text, (node, key)| {
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{},{} {}", node.name, addresses.join(","), key.join(" "));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    #[test]
    fn the_inventory_is_yaml_and_names_everything() {
        let text = inventory(&record(), &LabPaths::new("/var/lib/hactl-lab/lab"));
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let cluster = &read["clusters"]["lab"];
        assert_eq!(cluster["nodes"]["beta"]["address"], "10.231.7.12");
        assert_eq!(cluster["nodes"]["beta"]["links"][1], "10.232.7.12");
        assert_eq!(cluster["claim_policy"]["device_types"], serde_json::json!(["disk", "loop"]));
        assert_eq!(cluster["ssh"]["identity"], "/var/lib/hactl-lab/lab/id_ed25519");
        let fencing = &cluster["barclamps"]["pacemaker"]["fencing"];
        assert_eq!(fencing["agent"], "fence_hactl_lab");
        assert_eq!(fencing["params"]["ip"], "10.231.7.253");
        assert_eq!(fencing["params"]["password"]["file"], "/lab/fence-secret");
        assert_eq!(fencing["per_node"]["gamma"]["plug"], "gamma");
    }

    #[test]
    fn emulated_nodes_are_given_time() {
        let read = |lab: &LabRecord| -> serde_json::Value {
            let text = inventory(lab, &LabPaths::new("/lab"));
            let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            read["clusters"]["lab"].clone()
        };
        let of = |accelerator| LabRecord { backend: Backend::Vm, accelerator: Some(accelerator), ..record() };
        let emulated = read(&of(Accelerator::Tcg));
        assert_eq!(emulated["operation_defaults"]["timeout"], "120s");
        assert_eq!(emulated["barclamps"]["pacemaker"]["corosync"]["token_ms"], 10_000);
        assert_eq!(emulated["barclamps"]["pacemaker"]["properties"]["stonith-timeout"], "180s");
        assert_eq!(emulated["barclamps"]["pacemaker"]["fencing"]["agent"], "fence_hactl_lab");
        for quick in [read(&of(Accelerator::Kvm)), read(&record())] {
            assert_eq!(quick.get("operation_defaults"), None);
            assert_eq!(quick["barclamps"]["pacemaker"].get("corosync"), None);
        }
    }

    #[test]
    fn known_hosts_has_names_and_addresses() {
        let text = known_hosts(
            &record(),
            ["ssh-ed25519 AAAA root@alpha", "ssh-ed25519 BBBB", "ssh-ed25519 CCCC"].into_iter(),
        );
        assert_eq!(text.lines().next(), Some("alpha,10.231.7.11,10.232.7.11 ssh-ed25519 AAAA"));
        assert_eq!(text.lines().count(), 3);
    }
}
