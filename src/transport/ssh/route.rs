//! The hosts from here to a node, each with everything needed to log in.
//!
//! In: settings and, if asked for, an `ssh_config`. Out: a list of endpoints. Never connects.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::config::{ConfigFile, HostConfig};
use super::context::SshContext;
use super::known_hosts::HostName;
use super::settings::{DEFAULT_PORT, HopSettings, SshSettings};

/// The login when nothing names one: HA software is administered as root.
pub(super) const DEFAULT_USER: &str = "root";
/// Most hosts to go through.
const MAX_HOPS: usize = 8;
/// Key files ssh(1) tries by itself, the ones this build can use.
const DEFAULT_IDENTITIES: &[&str] = &[
    ".ssh/id_ed25519",
    ".ssh/id_ecdsa",
    #[cfg(feature = "rsa")]
    ".ssh/id_rsa",
];
/// The system's own known hosts (ssh_config(5), GlobalKnownHostsFile).
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// One host to log in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) key_name: HostName,
    pub(super) known_hosts: Vec<Utf8PathBuf>,
    pub(super) accept_new: bool,
    /// Key files to try; those that were asked for by name must exist.
    pub(super) identities: Vec<Utf8PathBuf>,
    pub(super) identities_required: bool,
    /// The agent's socket, if it is to be asked.
    pub(super) agent: Option<Utf8PathBuf>,
    /// Whether only those agent keys are tried that belong to a key file.
    pub(super) identities_only: bool,
    pub(super) connect_timeout: Duration,
    pub(super) login_timeout: Duration,
    pub(super) keepalive_interval: Duration,
    pub(super) keepalive_misses: usize,
}

impl Endpoint {
    /// `host:port`, an IPv6 address in brackets.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The way to a node: the hosts to go through, and the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) hops: Vec<Endpoint>,
    pub(super) target: Endpoint,
}

/// Works out the way to a node.
///
/// # Errors
/// The settings or the configuration file cannot be used; says which and why.
pub(super) fn resolve(settings: &SshSettings, context: &SshContext) -> Result<Route, String> {
    let file = settings.ssh_config.as_deref().map(|path| context.config(path)).transpose()?;
    let resolver = Resolver { settings, context, file };
    let (target, jump) = resolver.endpoint(&settings.host, settings.port, settings.user.as_deref(), true)?;
    let hops = if settings.jump.is_empty() {
        resolver.through(&jump.unwrap_or_default(), 0)?
    } else {
        let hop = |hop: &HopSettings| resolver.endpoint(&hop.host, hop.port, hop.user.as_deref(), false);
        settings
            .jump
            .iter()
            .map(|settings| hop(settings).map(|(endpoint, _)| endpoint))
            .collect::<Result<_, _>>()?
    };
    if hops.len() > MAX_HOPS {
        return Err(too_many(&settings.host));
    }
    Ok(Route { hops, target })
}

fn too_many(host: &str) -> String {
    format!("there are more than {MAX_HOPS} jump hosts on the way to {host}, or they go in a circle")
}

struct Resolver<'a> {
    settings: &'a SshSettings,
    context: &'a SshContext,
    file: Option<Arc<ConfigFile>>,
}

impl Resolver<'_> {
    /// The hops named by a `ProxyJump`; before the first one, those that it is itself reached through.
    fn through(&self, jump: &[String], depth: usize) -> Result<Vec<Endpoint>, String> {
        if depth > MAX_HOPS {
            return Err(too_many(&self.settings.host));
        }
        let mut hops = Vec::new();
        for (index, text) in jump.iter().enumerate() {
            let hop: HopSettings = text.parse().map_err(|error| format!("ProxyJump: {error}"))?;
            let (endpoint, further) = self.endpoint(&hop.host, hop.port, hop.user.as_deref(), false)?;
            if index == 0 {
                hops = self.through(&further.unwrap_or_default(), depth + 1)?;
            }
            hops.push(endpoint);
        }
        Ok(hops)
    }

    /// One host, and the `ProxyJump` that its configuration names.
    fn endpoint(
        &self,
        host: &str,
        port: Option<u16>,
        user: Option<&str>,
        is_target: bool,
    ) -> Result<(Endpoint, Option<Vec<String>>), String> {
        let settings = self.settings;
        let config = match &self.file {
            Some(file) => file.query(host)?,
            None => HostConfig::default(),
        };
        let address = config.host_name.clone().unwrap_or_else(|| host.to_owned());
        check_host(&address)?;
        let port = port.or(config.port).unwrap_or(DEFAULT_PORT);
        // Without a user of its own a jump host is entered as the node is, unless it has a section.
        let inherited = if is_target { None } else { settings.user.clone() };
        let user = user.map(str::to_owned).or(config.user.clone()).or(inherited);
        let (identities, identities_required) = self.identities(&config);
        let key_name = match &config.host_key_alias {
            Some(alias) => HostName::new(alias, DEFAULT_PORT),
            None => HostName::new(&address, port),
        };
        let endpoint = Endpoint {
            host: address,
            port,
            user: user.unwrap_or_else(|| DEFAULT_USER.to_owned()),
            key_name,
            known_hosts: self.known_hosts(&config)?,
            accept_new: settings.accept_new_host_keys,
            identities,
            identities_required,
            agent: self.agent(&config),
            identities_only: config.identities_only,
            connect_timeout: settings.connect_timeout,
            login_timeout: settings.login_timeout,
            keepalive_interval: settings.keepalive_interval,
            keepalive_misses: settings.keepalive_misses,
        };
        Ok((endpoint, config.jump))
    }

    fn identities(&self, config: &HostConfig) -> (Vec<Utf8PathBuf>, bool) {
        if !self.settings.identities.is_empty() {
            return (self.settings.identities.clone(), true);
        }
        if !config.identities.is_empty() {
            // ssh(1) passes over those that do not exist.
            return (config.identities.clone(), false);
        }
        let home = self.context.home().map(Utf8Path::to_owned);
        let files = home.iter().flat_map(|home| DEFAULT_IDENTITIES.iter().map(|file| home.join(file)));
        (files.collect(), false)
    }

    fn agent(&self, config: &HostConfig) -> Option<Utf8PathBuf> {
        if !self.settings.agent {
            return None;
        }
        match &config.agent {
            Some(named) => named.clone(),
            None => self.context.agent_socket().map(Utf8Path::to_owned),
        }
    }

    fn known_hosts(&self, config: &HostConfig) -> Result<Vec<Utf8PathBuf>, String> {
        if !self.settings.known_hosts.is_empty() {
            return Ok(self.settings.known_hosts.clone());
        }
        let mut files = match (&config.known_hosts, self.context.home()) {
            (Some(files), _) => files.clone(),
            (None, Some(home)) => vec![home.join(".ssh/known_hosts")],
            (None, None) => Vec::new(),
        };
        match &config.system_known_hosts {
            Some(system) => files.extend(system.iter().cloned()),
            None => files.push(SYSTEM_KNOWN_HOSTS.into()),
        }
        if files.is_empty() {
            return Err("no known_hosts file is named: host keys could not be checked".to_owned());
        }
        Ok(files)
    }
}

/// A host that can be looked up and written into known_hosts.
fn check_host(host: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
        return Err(format!("`{host}` is not a host name or address"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NodeName;
    use crate::transport::ssh::context::NoPassphrase;

    fn route(config: &str, change: impl FnOnce(&mut SshSettings)) -> Result<Route, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("config")).unwrap();
        std::fs::write(&path, config).unwrap();
        let mut settings = SshSettings::new(NodeName::new("alpha").unwrap(), "alpha");
        settings.ssh_config = Some(path);
        change(&mut settings);
        let home = Some("/home/op".into());
        resolve(&settings, &SshContext::with_environment(Arc::new(NoPassphrase), home, None))
    }

    fn way(route: &Route) -> Vec<String> {
        let all = route.hops.iter().chain([&route.target]);
        all.map(|endpoint| format!("{}@{}", endpoint.user, endpoint.address())).collect()
    }

    #[test]
    fn settings_win_over_the_file_and_the_file_over_the_defaults() {
        let config = "Host alpha\n User op\n Port 2222\n HostName 192.0.2.1\n IdentityFile /k\n";
        assert_eq!(way(&route(config, |_| ()).unwrap()), ["op@192.0.2.1:2222"]);
        let route = route(config, |settings| {
            settings.user = Some("root".to_owned());
            settings.port = Some(22);
            settings.identities = vec!["/mine".into()];
        })
        .unwrap();
        assert_eq!(way(&route), ["root@192.0.2.1:22"]);
        assert_eq!((route.target.identities, route.target.identities_required), (vec!["/mine".into()], true));
        assert_eq!(route.target.key_name.as_str(), "192.0.2.1");
    }

    #[test]
    fn jump_hosts_have_their_own_sections_and_their_own_jump_hosts() {
        let config =
            "Host alpha\n ProxyJump b,c:2200\nHost b\n User bee\n ProxyJump a\nHost a\n HostName ::1\n";
        let route = route(config, |_| ()).unwrap();
        assert_eq!(way(&route), ["root@[::1]:22", "bee@b:22", "root@c:2200", "root@alpha:22"]);
    }

    #[test]
    fn jump_hosts_in_a_circle_are_refused() {
        let error = route("Host alpha\n ProxyJump b\nHost b\n ProxyJump alpha\n", |_| ()).unwrap_err();
        assert!(error.contains("circle"), "{error}");
    }

    #[test]
    fn a_host_is_not_an_option_nor_a_line_of_known_hosts() {
        for bad in ["-oProxyCommand=x", "a b", "a,b", "a\nb", ""] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
        assert!(check_host("fe80::1%eth0").is_ok());
    }
}
