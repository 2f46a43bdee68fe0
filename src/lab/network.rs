//! The lab's networks: a namespace with one bridge per network (the switch), a namespace per node, cables between.
//!
//! In: a record. Out: namespaces, veths, addresses. The bridges are in a namespace of their own so that neither the
//! host's packet filter touches the lab's traffic nor the lab's the host's. The host has one cable, to the first network.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::LabError;
use super::names::LabName;
use super::process::{Program, wait_for};
use super::record::{LabNetwork, LabNode, LabRecord, PREFIX_BITS};

/// First byte of every address of a lab.
const FIRST_BYTE: u8 = 10;
/// Second byte on the first network; the next networks count on.
const SECOND_BYTE: u8 = 231;
/// Last byte of the host's address.
const HOST_BYTE: u8 = 254;
/// Last byte of the fence device's address.
pub(crate) const FENCE_BYTE: u8 = 253;
/// Last byte of the first node's address.
const FIRST_NODE_BYTE: usize = 11;
/// The switch's port to the host.
pub(crate) const UPLINK_PORT: &str = "uplink";
/// Longest wait for a namespace or an interface to go.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// Chooses subnets that nothing on this host uses.
pub(crate) fn choose(name: &LabName, count: usize) -> Result<Vec<LabNetwork>, LabError> {
    let routes =
        Program::new("read the routes", ["ip", "-4", "-o", "route", "show", "table", "all"]).run()?;
    let used = parse_routes(&routes);
    let third = free_third_byte(name.preferred_subnet(), count, &used).ok_or_else(|| {
        LabError::Usage(format!("no free subnets: this host has routes into all of 10.{SECOND_BYTE}.0.0/16"))
    })?;
    Ok((0..count)
        .map(|index| LabNetwork {
            number: index + 1,
            subnet: Ipv4Addr::new(FIRST_BYTE, second_byte(index), third, 0),
            host: (index == 0).then(|| Ipv4Addr::new(FIRST_BYTE, second_byte(index), third, HOST_BYTE)),
        })
        .collect())
}

fn second_byte(index: usize) -> u8 {
    // The number of networks is checked to be small.
    SECOND_BYTE.saturating_add(u8::try_from(index).unwrap_or(u8::MAX))
}

fn free_third_byte(preferred: u8, count: usize, used: &[(u32, u8)]) -> Option<u8> {
    (0..=u8::MAX).map(|step| preferred.wrapping_add(step)).find(|&third| {
        (0..count).all(|index| {
            let subnet = u32::from(Ipv4Addr::new(FIRST_BYTE, second_byte(index), third, 0));
            used.iter().all(|&(address, bits)| !overlap((subnet, PREFIX_BITS), (address, bits)))
        })
    })
}

fn overlap(a: (u32, u8), b: (u32, u8)) -> bool {
    let bits = a.1.min(b.1);
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    a.0 & mask == b.0 & mask
}

/// Destinations of `ip -o route`, without the default route.
fn parse_routes(text: &str) -> Vec<(u32, u8)> {
    let destination = |word: &str| -> Option<(u32, u8)> {
        let (address, bits) = word.split_once('/').unwrap_or((word, "32"));
        Some((address.parse::<Ipv4Addr>().ok()?.into(), bits.parse().ok()?))
    };
    text.lines()
        // A line begins with the destination, or with a type (`local`, `broadcast`) and then the destination.
        .filter_map(|line| line.split_whitespace().take(2).find_map(destination))
        .filter(|&(_, bits)| bits > 0)
        .collect()
}

/// The addresses of the node with this place on all networks.
pub(crate) fn node_addresses(networks: &[LabNetwork], index: usize) -> Vec<Ipv4Addr> {
    let last = u8::try_from(FIRST_NODE_BYTE + index).unwrap_or(HOST_BYTE);
    networks.iter().map(|network| with_last(network.subnet, last)).collect()
}

/// An address of the subnet.
pub(crate) fn with_last(subnet: Ipv4Addr, last: u8) -> Ipv4Addr {
    let [a, b, c, _] = subnet.octets();
    Ipv4Addr::new(a, b, c, last)
}

/// The switch's port to a node on a network.
pub(crate) fn port(node: &LabNode, network: usize) -> String {
    format!("n{}l{network}", node.index)
}

/// The end of a node's cable in its namespace; also what the node calls its interface.
pub(crate) fn interface(network: usize) -> String {
    format!("eth{}", network - 1)
}

/// Makes the switch and the host's cable.
pub(crate) fn create_switch(lab: &LabRecord) -> Result<(), LabError> {
    let switch = lab.name.switch();
    add_namespace(&switch)?;
    let mut inside = String::from("link set lo up\n");
    for network in &lab.networks {
        let bridge = format!("br{}", network.number);
        inside += &format!(
            "link add {bridge} type bridge mcast_snooping 0 forward_delay 0\nlink set {bridge} up\n"
        );
    }
    inside += &format!("addr add {}/{PREFIX_BITS} dev br1\n", lab.fence.ip);
    batch("set up the lab's switch", Some(&switch), &inside)?;
    let uplink = lab.name.uplink();
    let Some(host) = lab.networks.first().and_then(|network| network.host) else { return Ok(()) };
    batch(
        "connect the host to the lab",
        None,
        &format!(
            "link add {uplink} type veth peer name {UPLINK_PORT} netns {switch}\n\
             addr add {host}/{PREFIX_BITS} dev {uplink}\nlink set {uplink} up\n"
        ),
    )?;
    batch("connect the host to the lab", Some(&switch), &format!("link set {UPLINK_PORT} master br1 up\n"))
}

/// Makes a node's namespace and its cables, then sets up the namespace with the `ip` commands in `inside`. What a former
/// life of the node set up there is gone.
pub(crate) fn create_node(lab: &LabRecord, node: &LabNode, inside: &str) -> Result<(), LabError> {
    remove_node(lab, node)?;
    let (switch, namespace) = (lab.name.switch(), lab.name.object(&node.name));
    add_namespace(&namespace)?;
    let mut outside = String::new();
    for network in &lab.networks {
        let (port, interface) = (port(node, network.number), interface(network.number));
        outside += &format!(
            "link add {port} type veth peer name {interface} netns {namespace}\n\
             link set {port} master br{} up\n",
            network.number
        );
    }
    batch(&format!("connect node {}", node.name), Some(&switch), &outside)?;
    batch(&format!("set up the network of node {}", node.name), Some(&namespace), inside)
}

/// Unplugs a node and forgets its namespace.
pub(crate) fn remove_node(lab: &LabRecord, node: &LabNode) -> Result<(), LabError> {
    let switch = lab.name.switch();
    if namespace_path(&switch).exists() {
        for network in &lab.networks {
            let port = port(node, network.number);
            // It is normal that there is no such port: it went with the namespace, or was never made.
            Program::new("unplug", ["ip", "-n", &switch, "link", "del", &port]).finish()?;
        }
    }
    remove_namespace(&lab.name.object(&node.name))
}

/// Namespaces whose names begin so.
pub(crate) fn namespaces(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Where a namespace is named.
pub(crate) fn namespace_path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

fn add_namespace(name: &str) -> Result<(), LabError> {
    Program::new("make a network namespace", ["ip", "netns", "add", name]).run().map(drop)
}

/// Removes a namespace's name; it ends with its last process.
pub(crate) fn remove_namespace(name: &str) -> Result<(), LabError> {
    let path = namespace_path(name);
    let what = || format!("remove the network namespace {name}");
    wait_for(what, GONE_LIMIT, || {
        if !path.exists() {
            return Ok(Some(()));
        }
        Program::new("remove a network namespace", ["ip", "netns", "del", name]).finish()?;
        Ok((!path.exists()).then_some(()))
    })
}

/// Removes the host's cable, and with it its other end.
pub(crate) fn remove_uplink(name: &LabName) -> Result<(), LabError> {
    let uplink = name.uplink();
    let what = || format!("remove the interface {uplink}");
    wait_for(what, GONE_LIMIT, || {
        if !has_uplink(name) {
            return Ok(Some(()));
        }
        Program::new("remove an interface", ["ip", "link", "del", &uplink]).finish()?;
        Ok((!has_uplink(name)).then_some(()))
    })
}

/// Whether the host's cable is there.
pub(crate) fn has_uplink(name: &LabName) -> bool {
    Path::new("/sys/class/net").join(name.uplink()).exists()
}

/// Runs several `ip` commands at once.
fn batch(attempted: &str, namespace: Option<&str>, commands: &str) -> Result<(), LabError> {
    let mut program = Program::new(attempted, ["ip"]);
    if let Some(namespace) = namespace {
        program = program.arg("-n").arg(namespace);
    }
    program.arg("-batch").arg("-").stdin(commands).run().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_in_use_are_skipped() {
        let routes = "default via 192.0.2.1 dev eth0\n10.231.7.0/24 dev x proto kernel scope link src 10.231.7.254\n\
            local 10.232.8.9 dev y table local proto kernel scope host\n\
            unreachable 10.231.9.0/24 metric 1\n";
        let used = parse_routes(routes);
        assert_eq!(used.len(), 3);
        assert_eq!(free_third_byte(6, 2, &used), Some(6));
        assert_eq!(free_third_byte(7, 2, &used), Some(10));
        assert_eq!(free_third_byte(8, 1, &used), Some(8));
        assert_eq!(free_third_byte(0, 1, &parse_routes("10.0.0.0/8 via 1.2.3.4\n")), None);
    }

    #[test]
    fn a_node_has_the_same_last_byte_everywhere() {
        let networks: Vec<LabNetwork> = (1..=2u8)
            .map(|number| LabNetwork {
                number: number.into(),
                subnet: Ipv4Addr::new(10, number, 7, 0),
                host: None,
            })
            .collect();
        let addresses = node_addresses(&networks, 2);
        assert_eq!(addresses, [Ipv4Addr::new(10, 1, 7, 13), Ipv4Addr::new(10, 2, 7, 13)]);
    }
}
