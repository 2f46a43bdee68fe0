//! From the inventory's words on how to log in to open connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;

use crate::inventory::{self, Node, Sudo as InventorySudo};
use crate::names::NodeName;
use crate::secrets::SecretStore;
use crate::transport::ssh::{HopSettings, SshContext, SshSettings, SshTransport};
use crate::transport::{Sudo, Transport, TransportError};
use secrecy::SecretString;

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
        InventorySudo::Password(reference) => secrets
            .get(&reference.to_string())
            .map_or(Sudo::Passwordless, |password| Sudo::with_password(SecretString::from(password.to_owned()))),
    };
    settings
}

fn hop(hop: &inventory::JumpHost) -> HopSettings {
    HopSettings { host: hop.host.to_string(), port: hop.port, user: hop.user.clone() }
}

/// The ways to these nodes; a node whose settings cannot be used is data.
pub(super) fn transports<'a>(
    nodes: impl Iterator<Item = &'a Node>,
    secrets: &SecretStore,
    accept_new_host_keys: bool,
    context: &Arc<SshContext>,
) -> BTreeMap<NodeName, Result<Arc<dyn Transport>, TransportError>> {
    nodes
        .map(|node| {
            let settings = settings(node, secrets, accept_new_host_keys);
            let transport = SshTransport::new(&settings, Arc::clone(context));
            (node.name.clone(), transport.map(|transport| Arc::new(transport) as Arc<dyn Transport>))
        })
        .collect()
}
