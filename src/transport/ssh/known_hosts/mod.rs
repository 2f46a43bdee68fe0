//! Which host keys are trusted: OpenSSH's known_hosts files (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

mod line;
mod record;
mod store;

pub(super) use record::record;
pub(super) use store::{HostName, KnownHosts, Unacceptable};
