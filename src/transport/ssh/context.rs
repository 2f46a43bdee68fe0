//! What the connections of one run share: keys already opened, configuration and known hosts already read,
//! jump hosts already logged in to.
//!
//! In: file names, a source of passphrases. Out: what they hold, read once. Never logs a passphrase.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::config::ConfigFile;
use super::identity::Identity;
use super::known_hosts::KnownHosts;
use super::slot::Slot;

/// Where the passphrase of an encrypted key comes from.
pub trait PassphraseSource: Send + Sync {
    /// The passphrase of this key file, or `None` when there is none to be had. May block to ask a person;
    /// is asked once for each file in a run.
    fn passphrase(&self, key_file: &Utf8Path) -> Option<SecretString>;
}

/// There are no passphrases: encrypted keys can be used through the agent only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPassphrase;

impl PassphraseSource for NoPassphrase {
    fn passphrase(&self, _: &Utf8Path) -> Option<SecretString> {
        None
    }
}

/// The passphrase of every key is in this environment variable.
#[derive(Debug, Clone)]
pub struct PassphraseFromEnv(pub String);

impl PassphraseSource for PassphraseFromEnv {
    fn passphrase(&self, _: &Utf8Path) -> Option<SecretString> {
        std::env::var(&self.0).ok().filter(|value| !value.is_empty()).map(SecretString::from)
    }
}

impl<F> PassphraseSource for F
where
    F: Fn(&Utf8Path) -> Option<SecretString> + Send + Sync,
{
    fn passphrase(&self, key_file: &Utf8Path) -> Option<SecretString> {
        self(key_file)
    }
}

/// A key file, read at most once.
type IdentitySlot = Arc<OnceCell<Result<Arc<Identity>, String>>>;

/// What the connections of one run share.
pub struct SshContext {
    passphrases: Arc<dyn PassphraseSource>,
    home: Option<Utf8PathBuf>,
    agent_socket: Option<Utf8PathBuf>,
    identities: Mutex<BTreeMap<Utf8PathBuf, IdentitySlot>>,
    configs: Mutex<BTreeMap<Utf8PathBuf, Arc<ConfigFile>>>,
    known_hosts: Mutex<BTreeMap<Vec<Utf8PathBuf>, Arc<KnownHosts>>>,
    hops: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// What the tags of this run's commands begin with.
    run: String,
    commands: AtomicU64,
    /// Held while a new host key is checked again and recorded.
    pub(super) recording: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for SshContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshContext")
            .field("home", &self.home)
            .field("agent_socket", &self.agent_socket)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The maps are changed by single insertions: a panic elsewhere leaves them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SshContext {
    /// A context that takes home and agent from the environment (`HOME`, `SSH_AUTH_SOCK`).
    #[must_use]
    pub fn new(passphrases: Arc<dyn PassphraseSource>) -> Self {
        let variable =
            |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
        Self::with_environment(passphrases, variable("HOME"), variable("SSH_AUTH_SOCK"))
    }

    /// A context with this home directory and this agent's socket.
    #[must_use]
    pub fn with_environment(
        passphrases: Arc<dyn PassphraseSource>,
        home: Option<Utf8PathBuf>,
        agent_socket: Option<Utf8PathBuf>,
    ) -> Self {
        Self {
            passphrases,
            home,
            agent_socket,
            identities: Mutex::default(),
            configs: Mutex::default(),
            known_hosts: Mutex::default(),
            hops: Mutex::default(),
            run: format!("{}-{:016x}", std::process::id(), rand::random::<u64>()),
            commands: AtomicU64::new(0),
            recording: tokio::sync::Mutex::default(),
        }
    }

    /// A tag for a command that no other command has; of letters, digits and `-`.
    pub(super) fn tag(&self) -> String {
        format!("{}-{}", self.run, self.commands.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn home(&self) -> Option<&Utf8Path> {
        self.home.as_deref()
    }

    pub(super) fn agent_socket(&self) -> Option<&Utf8Path> {
        self.agent_socket.as_deref()
    }

    /// The configuration in this file, read at the first call.
    pub(super) fn config(&self, path: &Utf8Path) -> Result<Arc<ConfigFile>, String> {
        if let Some(config) = lock(&self.configs).get(path) {
            return Ok(config.clone());
        }
        let config = Arc::new(ConfigFile::load(path, self.home())?);
        lock(&self.configs).insert(path.to_owned(), config.clone());
        Ok(config)
    }

    /// The known hosts in these files, read at the first call and after [`Self::forget_known_hosts`].
    pub(super) fn known_hosts(&self, files: &[Utf8PathBuf]) -> Result<Arc<KnownHosts>, String> {
        if let Some(known) = lock(&self.known_hosts).get(files) {
            return Ok(known.clone());
        }
        let known = Arc::new(KnownHosts::load(files)?);
        lock(&self.known_hosts).insert(files.to_vec(), known.clone());
        Ok(known)
    }

    /// Makes the next call read the files again.
    pub(super) fn forget_known_hosts(&self) {
        lock(&self.known_hosts).clear();
    }

    /// The key in this file, opened at the first call; `None` when there is no such file.
    pub(super) async fn identity(&self, path: &Utf8Path) -> Result<Arc<Identity>, String> {
        let slot = lock(&self.identities).entry(path.to_owned()).or_default().clone();
        let load = || async {
            let (path, passphrases) = (path.to_owned(), self.passphrases.clone());
            let load = move || Identity::load(&path, passphrases.as_ref()).map(Arc::new);
            // Opening an encrypted key takes a second of work, and asking takes as long as a person does.
            match tokio::task::spawn_blocking(load).await {
                Ok(loaded) => loaded,
                Err(error) => Err(format!("reading the key failed: {error}")),
            }
        };
        slot.get_or_init(load).await.clone()
    }

    /// The slot of the jump host that is reached in this way.
    pub(super) fn hop(&self, way: String) -> Arc<Slot> {
        lock(&self.hops).entry(way).or_default().clone()
    }
}
