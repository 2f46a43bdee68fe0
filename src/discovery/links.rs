//! Network interfaces: ip-address(8).

use std::net::IpAddr;

use serde::Deserialize;

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::Link;

const NAME: &str = "ip address";

/// Runs `ip -json address`.
pub(super) struct LinksProbe;

#[derive(Deserialize)]
struct Interface {
    // `ip` prints empty objects for interfaces that a filter leaves out.
    ifname: Option<String>,
    mtu: Option<u32>,
    #[serde(default)]
    operstate: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: Option<u8>,
}

impl Probe for LinksProbe {
    type Fact = Vec<Link>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "ip -json address".to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<Vec<Link>, ProbeError> {
        let answer = answer.succeeded(NAME)?;
        let interfaces: Vec<Interface> =
            serde_json::from_slice(&answer.stdout).map_err(|error| malformed(NAME, error.to_string()))?;
        interfaces.into_iter().filter(|interface| interface.ifname.is_some()).map(link).collect()
    }
}

fn link(interface: Interface) -> Result<Link, ProbeError> {
    let name = interface.ifname.unwrap_or_default();
    let mtu = interface.mtu.ok_or_else(|| malformed(NAME, format!("interface {name} has no MTU")))?;
    // Loopback, tunnels and some virtual devices have no operational state: there the flag decides.
    let up = match interface.operstate.as_str() {
        "UP" => true,
        "UNKNOWN" => interface.flags.iter().any(|flag| flag == "UP"),
        _ => false,
    };
    let addresses = interface
        .addr_info
        .into_iter()
        .filter_map(|address| Some((address.local?, address.prefixlen?)))
        .collect();
    Ok(Link { name, mtu, up, addresses })
}
