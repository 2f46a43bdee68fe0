//! Which group is drilled, and so which node loses its power. Pure.
//!
//! In: Pacemaker's status, the live CIB, the barclamps' checks. Out: a [`Target`], or why there is none.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::Refusal;
use crate::barclamp::{DeclaredCheck, Expect};
use crate::cib::{Cib, ClusterStatus, ResourceStatus, Section};
use crate::names::NodeName;

/// The agent of a mounted file system, and its parameters for where and what.
const FILESYSTEM: (&str, &str, &str) = ("ocf:heartbeat:Filesystem", "directory", "device");
/// Agents of virtual addresses; all have the parameter `ip`.
const ADDRESSES: [&str; 2] = ["ocf:heartbeat:IPaddr2", "ocf:heartbeat:IPaddr"];

/// What is drilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The group, or the resource that stands alone.
    pub group: String,
    /// The node it runs on, which loses its power.
    pub victim: NodeName,
    /// The file system in it.
    pub mount: Option<Mount>,
    /// The virtual address in it.
    pub address: Option<String>,
    /// What is asked through the address: a check of the cluster.
    pub ask: Option<Expect>,
}

/// A file system of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The resource.
    pub resource: String,
    /// Where it is mounted.
    pub directory: Utf8PathBuf,
    /// What is mounted.
    pub device: String,
}

/// A group while it is looked at.
#[derive(Debug, Default)]
struct Candidate {
    mount: Option<Mount>,
    address: Option<String>,
    ask: Option<Expect>,
}

/// Chooses the group: the one that was asked for; else the only one with a mounted file system; else the only one with
/// an address that a check asks through.
///
/// # Errors
/// There is none, there are several, or it does not run on exactly one node.
pub fn choose(
    status: &ClusterStatus,
    cib: &Cib,
    checks: &[DeclaredCheck],
    wanted: Option<&str>,
) -> Result<Target, Refusal> {
    let candidates = candidates(status, cib, checks);
    let names = |list: &[(&String, &Candidate)]| list.iter().map(|(id, _)| (*id).clone()).collect::<Vec<_>>();
    let all: Vec<(&String, &Candidate)> = candidates.iter().collect();
    let chosen = if let Some(wanted) = wanted {
        let fits = |(id, _): &&(&String, &Candidate)| *id == wanted;
        let found = all.iter().find(fits).copied();
        let not = || Refusal::NotATarget { wanted: wanted.to_owned(), candidates: names(&all) };
        found.ok_or_else(not)?
    } else {
        let mounted: Vec<_> = all.iter().filter(|(_, one)| one.mount.is_some()).copied().collect();
        match if mounted.is_empty() { all.as_slice() } else { mounted.as_slice() } {
            [] => return Err(Refusal::NoTarget),
            [one] => *one,
            several => return Err(Refusal::Several(names(several))),
        }
    };
    let (group, candidate) = chosen;
    let nodes: Vec<String> = status.running_on(group).into_iter().map(str::to_owned).collect();
    let victim = match nodes.as_slice() {
        [node] => NodeName::new(node).ok(),
        _ => None,
    };
    let victim = victim.ok_or(Refusal::NotOnOneNode { group: group.clone(), nodes })?;
    Ok(Target {
        group: group.clone(),
        victim,
        mount: candidate.mount.clone(),
        address: candidate.address.clone(),
        ask: candidate.ask.clone(),
    })
}

/// Whether something works that could cut a node's power.
///
/// # Errors
/// What is missing.
pub fn fenced(status: &ClusterStatus) -> Result<(), Refusal> {
    if !status.stonith_enabled {
        return Err(Refusal::NoFencing("stonith-enabled is off".to_owned()));
    }
    if status.resources.iter().any(|one| one.is_fencing() && one.active && !one.failed) {
        Ok(())
    } else {
        Err(Refusal::NoFencing("no fencing device runs".to_owned()))
    }
}

/// What can be measured by something, by group. Instances of clones run on several nodes: nothing of theirs moves.
fn candidates(status: &ClusterStatus, cib: &Cib, checks: &[DeclaredCheck]) -> BTreeMap<String, Candidate> {
    let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
    for resource in status.resources.iter().filter(|one| one.active && !one.is_instance) {
        let group = resource.parents.last().unwrap_or(&resource.id);
        if resource.agent == FILESYSTEM.0 {
            let Some(mount) = mount(resource, cib) else { continue };
            found.entry(group.clone()).or_default().mount.get_or_insert(mount);
        } else if ADDRESSES.contains(&resource.agent.as_str())
            && let Some(address) = parameter(cib, &resource.id, "ip")
        {
            let ask = checks.iter().map(|check| &check.expect).find(|expect| asks(expect, &address));
            let candidate = found.entry(group.clone()).or_default();
            // An address that a check asks through is worth more than one that nobody asks.
            if candidate.ask.is_none() {
                candidate.ask = ask.cloned();
                candidate.address = Some(address);
            }
        }
    }
    found.retain(|_, candidate| candidate.mount.is_some() || candidate.ask.is_some());
    found
}

fn mount(resource: &ResourceStatus, cib: &Cib) -> Option<Mount> {
    Some(Mount {
        resource: resource.id.clone(),
        directory: Utf8PathBuf::from(parameter(cib, &resource.id, FILESYSTEM.1)?),
        device: parameter(cib, &resource.id, FILESYSTEM.2)?,
    })
}

/// A parameter of a primitive, as the live CIB has it.
fn parameter(cib: &Cib, primitive: &str, name: &str) -> Option<String> {
    let resources = cib.section(Section::Resources)?;
    let element =
        resources.walk().find(|element| element.name == "primitive" && element.id() == Some(primitive))?;
    element
        .named("instance_attributes")
        .flat_map(|set| set.named("nvpair"))
        .find(|pair| pair.attr("name") == Some(name))
        .and_then(|pair| pair.attr("value"))
        .map(str::to_owned)
}

/// Whether a check asks something at this address.
fn asks(expect: &Expect, address: &str) -> bool {
    match expect {
        Expect::Tcp { address: asked, .. } => asked == address,
        Expect::Http { url, .. } => reqwest::Url::parse(url)
            .is_ok_and(|url| url.host_str().is_some_and(|host| host.trim_matches(['[', ']']) == address)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cib::parse_crm_mon;
    use crate::names::BarclampName;

    const CIB: &str = r#"<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0"><configuration>
      <crm_config/><nodes/><resources>
        <group id="web"><primitive id="web-ip" class="ocf" provider="heartbeat" type="IPaddr2">
          <instance_attributes id="a"><nvpair id="a1" name="ip" value="192.0.2.9"/></instance_attributes></primitive></group>
        <group id="db"><primitive id="db-fs" class="ocf" provider="heartbeat" type="Filesystem">
          <instance_attributes id="b"><nvpair id="b1" name="directory" value="/srv/db"/>
          <nvpair id="b2" name="device" value="/dev/drbd0"/></instance_attributes></primitive></group>
      </resources><constraints/></configuration><status/></cib>"#;

    fn status(web_on: &str, filesystem: bool) -> ClusterStatus {
        let fs = if filesystem {
            r#"<group id="db" number_resources="1"><resource id="db-fs" resource_agent="ocf:heartbeat:Filesystem" role="Started" active="true"><node name="alpha"/></resource></group>"#
        } else {
            ""
        };
        parse_crm_mon(&format!(
            r#"<pacemaker-result><summary/><nodes/><resources>
            <group id="web" number_resources="1"><resource id="web-ip" resource_agent="ocf:heartbeat:IPaddr2" role="Started" active="true">{web_on}</resource></group>
            {fs}</resources></pacemaker-result>"#
        ))
        .unwrap()
    }

    fn check(expect: Expect) -> DeclaredCheck {
        DeclaredCheck {
            barclamp: BarclampName::new("haproxy").unwrap(),
            id: "answers".to_owned(),
            summary: "it answers".to_owned(),
            node: None,
            expect,
        }
    }

    fn answers() -> Vec<DeclaredCheck> {
        let url = "http://192.0.2.9:80/".to_owned();
        vec![check(Expect::Quorum), check(Expect::Http { url, status: 200, contains: None })]
    }

    const ON_BETA: &str = r#"<node name="beta"/>"#;

    #[test]
    fn a_mounted_file_system_goes_before_an_address() {
        let cib = Cib::parse(CIB).unwrap();
        let target = choose(&status(ON_BETA, true), &cib, &answers(), None).unwrap();
        assert_eq!((target.group.as_str(), target.victim.as_str()), ("db", "alpha"));
        let mount = target.mount.unwrap();
        assert_eq!((mount.directory.as_str(), mount.device.as_str()), ("/srv/db", "/dev/drbd0"));
        let named = choose(&status(ON_BETA, true), &cib, &answers(), Some("web")).unwrap();
        assert_eq!((named.group.as_str(), named.victim.as_str(), named.mount), ("web", "beta", None));
        assert_eq!(named.ask, Some(answers()[1].expect.clone()));
    }

    #[test]
    fn an_address_that_nobody_asks_measures_nothing() {
        let cib = Cib::parse(CIB).unwrap();
        assert_eq!(choose(&status(ON_BETA, false), &cib, &[], None), Err(Refusal::NoTarget));
        let elsewhere = vec![check(Expect::Tcp { address: "192.0.2.8".to_owned(), port: "80".to_owned() })];
        assert_eq!(choose(&status(ON_BETA, false), &cib, &elsewhere, None), Err(Refusal::NoTarget));
    }

    #[test]
    fn what_does_not_run_or_is_no_group_is_said() {
        let cib = Cib::parse(CIB).unwrap();
        let twice = r#"<node name="alpha"/><node name="beta"/>"#;
        let refused = choose(&status(twice, false), &cib, &answers(), None).unwrap_err();
        assert_eq!(refused.to_string(), "web runs on alpha, beta, not on one node");
        let refused = choose(&status(ON_BETA, true), &cib, &answers(), Some("x")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`x` is no group with a mounted file system or a checked virtual address; there is db, web"
        );
    }

    #[test]
    fn without_a_fencing_device_nothing_is_cut() {
        let mut status = status(ON_BETA, false);
        assert!(matches!(fenced(&status), Err(Refusal::NoFencing(_))));
        status.stonith_enabled = true;
        assert!(fenced(&status).unwrap_err().to_string().contains("no fencing device runs"));
    }
}
