//! `hactl init`: a commented inventory to begin with.
//!
//! In: hosts and a template. Out: a file that `hactl validate` accepts. Never overwrites, never contacts a node.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, ToSocketAddrs as _};

use camino::Utf8PathBuf;

use super::inventory_args::{DEFAULT_INVENTORY, inventory_error};
use super::{CommandError, Console, ExitCode};
use crate::inventory::{Address, JumpHost, Source, load};
use crate::names::{ClusterName, NodeName};

/// Arguments of `hactl init`.
#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// Nodes; NAME is what `uname -n` prints there
    #[arg(
        value_name = "HOST",
        help = "Nodes as [NAME=][USER@]HOST[:PORT]; NAME is what `uname -n` prints there"
    )]
    pub hosts: Vec<String>,
    /// What the inventory is for
    #[arg(long, value_enum, default_value_t = Template::Basic)]
    pub template: Template,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub cluster: ClusterName,
    /// Where to write it; - writes to stdout
    #[arg(short, long, value_name = "FILE|-", default_value = DEFAULT_INVENTORY)]
    pub output: Utf8PathBuf,
}

/// What an inventory may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// A cluster with fencing and a virtual IP
    Basic,
    /// The services for the nodes of `hactl lab up`
    Lab,
}

/// The services of the built-in lab; the lab itself writes its nodes.
const LAB: &str = include_str!("../../inventory/lab.yml");

/// The template `basic`; `@word@` is filled in.
const BASIC: &str = r#"# An inventory for hactl: what the cluster is to be. `hactl validate` checks it, `hactl plan` shows what would
# change, `hactl apply` does it. `hactl validate --schema` prints a JSON Schema with which editors complete and check.
version: 1

variables:
  # TODO: a free address in the network of the nodes, on which the service answers wherever it runs.
  # --var virtual_ip=ADDRESS overrides it.
  virtual_ip: 192.0.2.100

clusters:
  @cluster@:
    # The name of a node is what `uname -n` prints on it. `address` is where SSH connects to. `links` are the
    # addresses for corosync, link 0 first; give each node two if there are two networks:
    #   alpha: { address: 192.0.2.11, links: [10.0.0.1, 10.0.1.1] }
    nodes:
@nodes@
    ssh:
      user: @user@
@sudo@
      # identity: ~/.ssh/id_ed25519
      # jump: bastion.example.org

    barclamps:
      pacemaker:
@fencing@
    # Resources in Pacemaker's own terms.
    resources:
      vip:
        primitive: ocf:heartbeat:IPaddr2
        params: { ip: "${virtual_ip}", cidr_netmask: 24 }
        operations:
          monitor: { interval: 10s, timeout: 20s }

    # constraints:
    #   - { location: vip, node: @first@, score: 100 }

    resource_defaults:
      resource-stickiness: 100    # what runs stays where it is when a node comes back
"#;

const NO_SUDO: &str =
    "      # sudo: true                # when the user is not root and sudo asks for no password";
const SUDO: &str =
    "      sudo: true                  # sudo asks for no password; otherwise { password: { env: NAME } }";

const NO_FENCING: &str =
    "        # One node needs no fencing. Before you add a second one, say here how nodes are fenced.
        {}
";

const FENCING: &str =
    "        # A node that does not answer must be cut off before its services start elsewhere.
        fencing:
          agent: fence_ipmilan
          # TODO: the address of each node's management board
          per_node:
@per_node@          # A secret never stands here itself: this one is taken from the environment.
          params: { username: hactl, lanplus: 1, password: { env: IPMI_PASSWORD } }
";

/// One node of the inventory to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NewNode {
    name: NodeName,
    address: Address,
    /// The address on link 0, where `address` is a name.
    link: Option<IpAddr>,
    user: Option<String>,
    port: Option<u16>,
}

/// Does it.
///
/// # Errors
/// A host cannot be understood or is there twice (exit code 3), the file exists (3) or cannot be written.
pub(super) fn run(arguments: &InitArgs, console: &Console) -> Result<ExitCode, CommandError> {
    let text = match arguments.template {
        Template::Basic => checked(basic(&arguments.cluster, &new_nodes(&arguments.hosts)?), console)?,
        Template::Lab if arguments.hosts.is_empty() => LAB.to_owned(),
        Template::Lab => {
            return Err(CommandError::new(ExitCode::Usage, "the lab brings its own nodes: name no hosts"));
        }
    };
    if arguments.output == "-" {
        console.result(&text)?;
        return Ok(ExitCode::Done);
    }
    write_new(&arguments.output, &text)?;
    let next = match arguments.template {
        Template::Basic => format!("edit it, then: hactl validate -i {}", arguments.output),
        Template::Lab => {
            format!("then: hactl lab up, which prints the nodes' inventory to use with {}", arguments.output)
        }
    };
    console.say(&format!("wrote {}\n{next}\n", arguments.output));
    Ok(ExitCode::Done)
}

/// The text, if it is an inventory: hosts that are right each by itself may not go together.
fn checked(text: String, console: &Console) -> Result<String, CommandError> {
    let source = Source::Text { name: "the inventory to be".to_owned(), text: text.clone() };
    match load(&[source], &BTreeMap::new()) {
        Ok(_) => Ok(text),
        Err(error) => Err(inventory_error(&error, console)),
    }
}

/// Writes a file that must not exist.
fn write_new(path: &Utf8PathBuf, text: &str) -> Result<(), CommandError> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CommandError::new(ExitCode::Usage, format!("{path} exists and is not overwritten"))
                .advice("name another file with -o, or remove it"));
        }
        Err(error) => return Err(CommandError::local(&format!("cannot write {path}"), &error)),
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| CommandError::local(&format!("cannot write {path}"), &error))
}

/// The nodes that were named, or two to be edited; all mistakes at once.
fn new_nodes(hosts: &[String]) -> Result<Vec<NewNode>, CommandError> {
    let examples = ["alpha=192.0.2.11", "beta=192.0.2.12"].map(str::to_owned);
    let hosts = if hosts.is_empty() { &examples } else { hosts };
    let mut nodes: Vec<NewNode> = Vec::new();
    let mut problems = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        match new_node(host, index + 1) {
            Ok(node) if nodes.iter().any(|other| other.name == node.name) => {
                problems.push(format!("{host}: there is another node called {}", node.name));
            }
            Ok(node) if nodes.iter().any(|other| other.address == node.address) => {
                problems.push(format!("{host}: there is another node with the address {}", node.address));
            }
            Ok(node) => nodes.push(node),
            Err(problem) => problems.push(format!("{host}: {problem}")),
        }
    }
    if problems.is_empty() { Ok(nodes) } else { Err(CommandError::all(ExitCode::Usage, problems)) }
}

fn new_node(text: &str, number: usize) -> Result<NewNode, String> {
    let (name, host) = match text.split_once('=') {
        Some((name, host)) => (Some(name), host),
        None => (None, text),
    };
    let host: JumpHost = host.parse().map_err(|error: crate::inventory::ValueError| error.why.to_owned())?;
    let name = match (name, &host.host) {
        (Some(name), _) => name.to_owned(),
        (None, Address::Ip(_)) => format!("node{number}"),
        (None, Address::Name(host)) => host.as_str().split('.').next().unwrap_or_default().to_owned(),
    };
    let name = NodeName::new(name).map_err(|error| error.to_string())?;
    let link = match &host.host {
        Address::Ip(_) => None,
        Address::Name(name) => Some(look_up(name.as_str())?),
    };
    Ok(NewNode { name, address: host.host, link, user: host.user, port: host.port })
}

/// The address that a name has now: corosync is given addresses, so that it does not depend on a name server.
fn look_up(name: &str) -> Result<IpAddr, String> {
    let advice = format!("give its address as well: {name}=IP");
    let found =
        (name, 22).to_socket_addrs().map_err(|error| format!("cannot look it up: {error}; {advice}"))?;
    let mut usable = found.map(|found| found.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    usable.next().ok_or_else(|| format!("it is an address of this machine only; {advice}"))
}

/// The user for all nodes, if they agree.
fn common_user(nodes: &[NewNode]) -> Option<&str> {
    let first = nodes.first()?.user.as_deref()?;
    nodes.iter().all(|node| node.user.as_deref() == Some(first)).then_some(first)
}

/// An inventory with these nodes, fencing and a virtual IP.
fn basic(cluster: &ClusterName, nodes: &[NewNode]) -> String {
    let common = common_user(nodes);
    let width = nodes.iter().map(|node| node.name.as_str().len()).max().unwrap_or(0) + 1;
    let mut node_lines = String::new();
    let mut fence_lines = String::new();
    for (index, node) in nodes.iter().enumerate() {
        let mut line = format!("address: {}", quoted_address(&node.address));
        if let Some(port) = node.port {
            line.push_str(&format!(", port: {port}"));
        }
        if let Some(link) = node.link {
            line.push_str(&format!(", links: [{}]", quoted_address(&Address::Ip(link))));
        }
        if let (Some(user), None) = (&node.user, common) {
            line.push_str(&format!(", ssh: {{ user: \"{user}\" }}"));
        }
        let name = format!("{}:", yaml_key(node.name.as_str()));
        node_lines.push_str(&format!("      {name:<width$} {{ {line} }}\n"));
        fence_lines
            .push_str(&format!("            {name:<width$} {{ ip: 192.0.2.{} }}\n", 111 + index % 100));
    }
    let fencing =
        if nodes.len() < 2 { NO_FENCING.to_owned() } else { FENCING.replace("@per_node@", &fence_lines) };
    let user = common.unwrap_or("root");
    BASIC
        .replace("@cluster@", &yaml_key(cluster.as_str()))
        .replace("@nodes@", &node_lines)
        .replace("@user@", &yaml_key(user))
        .replace("@sudo@", if user == "root" { NO_SUDO } else { SUDO })
        .replace("@fencing@", &fencing)
        .replace("@first@", &yaml_key(nodes.first().map_or("NODE", |node| node.name.as_str())))
}

/// An address as YAML reads it as text: IPv6 needs quotes between braces.
fn quoted_address(address: &Address) -> String {
    match address {
        Address::Ip(IpAddr::V6(ip)) => format!("\"{ip}\""),
        other => yaml_key(&other.to_string()),
    }
}

/// A word in quotes where YAML readers might take it for something else than text.
fn yaml_key(text: &str) -> String {
    let doubtful = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let number = text.parse::<f64>().is_ok();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if number || !plain || doubtful.contains(&text.to_ascii_lowercase().as_str()) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Inventory;

    fn initialised(hosts: &[&str]) -> Inventory {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let cluster = ClusterName::new("main").unwrap();
        let text = basic(&cluster, &new_nodes(&hosts).unwrap());
        let source = Source::Text { name: "new.yml".to_owned(), text };
        load(&[source], &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}")).inventory
    }

    #[test]
    fn what_is_written_is_valid() {
        for hosts in [
            &[][..],
            &["192.0.2.1"],
            &["a=192.0.2.1", "b=192.0.2.2", "c=192.0.2.3"],
            &["a=admin@192.0.2.1:2222", "b=admin@192.0.2.2"],
            &["a=admin@192.0.2.1", "no=192.0.2.2"],
            &["no=[2001:db8::1]:2222", "007=2001:db8::2"],
        ] {
            let inventory = initialised(hosts);
            assert_eq!(inventory.clusters.len(), 1, "{hosts:?}");
        }
    }

    #[test]
    fn hosts_become_nodes() {
        let inventory = initialised(&["a=admin@192.0.2.1:2222", "root@192.0.2.2"]);
        let nodes = &inventory.clusters["main"].nodes;
        assert_eq!(nodes.keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "node2"]);
        assert_eq!(nodes["a"].ssh.port, Some(2222));
        assert_eq!(nodes["a"].ssh.user.as_deref(), Some("admin"));
        assert_eq!(nodes["node2"].ssh.user.as_deref(), Some("root"));
    }

    #[test]
    fn wrong_hosts_are_all_named() {
        let hosts = ["a=192.0.2.1", "a=192.0.2.2", "b=192.0.2.1", "x y=192.0.2.9", "192.0.2.5:99999"];
        let error = new_nodes(&hosts.map(str::to_owned)).unwrap_err();
        let text = error.text(crate::ui::Theme::new(false));
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("inventory.yml")).unwrap();
        write_new(&path, "a").unwrap();
        assert_eq!(write_new(&path, "b").unwrap_err().code(), ExitCode::Usage);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a");
    }
}
