//! From the inventory's words on how to log in to open connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;

use super::{Options, PipelineError};
use crate::inventory::{self, Node, Sudo as InventorySudo};
use crate::names::NodeName;
use crate::secrets::SecretStore;
use crate::transport::{
    CommandLog, Fleet, HopSettings, Logged, SshContext, SshSettings, SshTransport, Sudo, Transport,
    TransportError,
};

/// What the inventory says of the way to a node, as the transport wants it.
pub(super) fn settings(node: &Node, secrets: &SecretStore, accept_new_host_keys: bool) -> SshSettings {
    let ssh = &node.ssh;
    let mut settings = SshSettings::new(node.name.clone(), node.address.to_string());
    settings.port = ssh.port;
    settings.user.clone_from(&ssh.user);
    settings.identities.clone_from(&ssh.identities);
    settings.agent = ssh.agent;
    settings.known_hosts = ssh.known_hosts.iter().cloned().collect();
    settings.accept_new_host_keys = accept_new_host_keys;
    settings.ssh_config.clone_from(&ssh.config);
    settings.connect_timeout = ssh.connect_timeout;
    settings.jump = ssh.jump.iter().flatten().map(hop).collect();
    settings.sudo = match &ssh.sudo {
        InventorySudo::Never => Sudo::No,
        InventorySudo::Passwordless => Sudo::Passwordless,
        InventorySudo::Password(reference) => {
            secrets.get(&reference.to_string()).map_or(Sudo::Passwordless, |password| {
                Sudo::with_password(SecretString::from(password.to_owned()))
            })
        }
    };
    settings
}

fn hop(hop: &inventory::JumpHost) -> HopSettings {
    HopSettings { host: hop.host.to_string(), port: hop.port, user: hop.user.clone() }
}

/// The ways to these nodes. A node whose settings cannot be used is data.
///
/// # Errors
/// The log cannot be written.
pub(super) fn fleet(
    nodes: &[&Node],
    secrets: &SecretStore,
    options: &Options,
) -> Result<Ways, PipelineError> {
    let log = options.log.as_deref().map(|path| open_log(path, secrets)).transpose()?;
    let passphrases: BTreeMap<Utf8PathBuf, SecretString> = nodes
        .iter()
        .filter_map(|node| Some((node, secrets.get(&node.ssh.passphrase.as_ref()?.to_string())?)))
        .flat_map(|(node, secret)| {
            node.ssh.identities.iter().map(move |path| (path.clone(), SecretString::from(secret.to_owned())))
        })
        .collect();
    let source = move |key: &Utf8Path| passphrases.get(key).cloned();
    let context = Arc::new(SshContext::new(Arc::new(source)));
    let mut unusable = BTreeMap::new();
    let mut usable: Vec<Arc<dyn Transport>> = Vec::new();
    for node in nodes {
        let settings = settings(node, secrets, options.accept_new_host_keys);
        match SshTransport::new(&settings, Arc::clone(&context)) {
            Ok(transport) => usable.push(match &log {
                Some(log) => Arc::new(Logged::new(Arc::new(transport), Arc::clone(log))),
                None => Arc::new(transport),
            }),
            Err(error) => {
                unusable.insert(node.name.clone(), error);
            }
        }
    }
    Ok((Fleet::new(usable), unusable))
}

/// The log of every remote command, with every secret of the run masked.
fn open_log(path: &Utf8Path, secrets: &SecretStore) -> Result<Arc<CommandLog>, PipelineError> {
    let log =
        CommandLog::open(path).map_err(|source| PipelineError::Log { path: path.to_owned(), source })?;
    secrets.values().for_each(|secret| log.mask(secret));
    Ok(Arc::new(log))
}

/// Nodes by whether there is a way to them at all.
pub(super) type Ways = (Fleet, BTreeMap<NodeName, TransportError>);
