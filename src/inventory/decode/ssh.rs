//! How to log in.
//!
//! In: `ssh` of a cluster and of a node. Out: settings in which the node's override the cluster's.

use super::decoder::Decoder;
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::model::{JumpHost, SshSettings, Sudo};
use crate::inventory::tree::{Node, Plain, Value, is_yaml11_bool, resolve};
use crate::inventory::value::parse_duration;

/// Highest TCP port.
const MAX_PORT: i64 = 65_535;

impl Decoder<'_> {
    /// These settings, overridden by what this node says.
    pub(crate) fn ssh(&mut self, node: &Node, what: &str, mut settings: SshSettings) -> SshSettings {
        let Some(keys) = self.fields(node, what, &[fields::SSH]) else { return settings };
        if let Some(node) = keys.get("user")
            && let Some(user) = self.parse_with(node, "`user`", login_name)
        {
            settings.user = Some(user);
        }
        if let Some(node) = keys.get("port") {
            settings.port = self.port(node).or(settings.port);
        }
        if let Some(node) = keys.get("identity") {
            let files = self.one_or_many(node).iter();
            settings.identities = files.filter_map(|file| self.local_path(file, "`identity`")).collect();
        }
        if let Some(node) = keys.get("agent") {
            settings.agent = self.boolean(node, "`agent`").unwrap_or(settings.agent);
        }
        if let Some(node) = keys.get("passphrase") {
            settings.passphrase = self.secret(node, "`passphrase`");
        }
        if let Some(node) = keys.get("sudo") {
            settings.sudo = self.sudo(node).unwrap_or(settings.sudo);
        }
        if let Some(node) = keys.get("jump") {
            let hosts = self.one_or_many(node).iter();
            settings.jump = Some(hosts.filter_map(|host| self.parse::<JumpHost>(host, "`jump`")).collect());
        }
        if let Some(node) = keys.get("known_hosts") {
            settings.known_hosts = self.local_path(node, "`known_hosts`");
        }
        if let Some(node) = keys.get("config") {
            settings.config = self.local_path(node, "`config`");
        }
        if let Some(node) = keys.get("connect_timeout")
            && let Some(timeout) = self.parse_with(node, "`connect_timeout`", parse_duration)
        {
            settings.connect_timeout = timeout;
        }
        settings
    }

    /// A TCP port.
    pub(crate) fn port(&mut self, node: &Node) -> Option<u16> {
        self.integer(node, "`port`", 1, MAX_PORT).and_then(|port| u16::try_from(port).ok())
    }

    fn sudo(&mut self, node: &Node) -> Option<Sudo> {
        match &node.value {
            Value::Mapping(_) => {
                let keys = self.fields(node, "`sudo`", &[fields::SUDO])?;
                let Some(password) = keys.get("password") else {
                    self.missing(node, "`sudo`", "password", "write `sudo: true` when sudo asks for none");
                    return None;
                };
                self.secret(password, "`password`").map(Sudo::Password)
            }
            Value::Scalar { text, plain: true } if matches!(resolve(text), Plain::Bool(_)) => {
                Some(if resolve(text) == Plain::Bool(true) { Sudo::Passwordless } else { Sudo::Never })
            }
            Value::Scalar { text, .. } if !node.is_null() && !is_yaml11_bool(text) => {
                // What stands here may well be a password.
                let message = "`sudo` must be true, false or a mapping with `password`";
                let help = "write `sudo: { password: { env: NAME } }` when sudo asks for a password";
                self.report(Diagnostic::new("wrong-type", message).at_secret(node.blame()).help(help));
                None
            }
            _ => self.boolean(node, "`sudo`").map(|_| Sudo::Never),
        }
    }
}

/// A login name that means itself to every program that it is handed to.
fn login_name(text: &str) -> Result<String, String> {
    let fits = !text.starts_with('-')
        && text.len() <= 64
        && !text
            .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | ':' | '/' | ','));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a login name: write the name only; the host goes into `address`"))
    }
}
