//! Bringing a volume to life: its file, its disk's metadata, its sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use replica::{Config, NodeId, Replica};
use replica_link::{Endpoint, LinkKey, Security};

use crate::blockdev;
use crate::control::ControlServer;
use crate::disk::{self, LastKnown, MetadataError, Store, StoreError};
use crate::listener::ListenError;
use crate::net::NetError;
use crate::poll::Poller;
use crate::settings::{self, Secret, Settings, SettingsError};

/// Where the volumes' files are.
const CONFIG_FOLDER: &str = "/etc/hactl/replica";
/// Where it is kept how large the volumes' disks were.
const STATE_FOLDER: &str = "/var/lib/hactl/replica";
/// Where the volumes' sockets are.
const RUN_FOLDER: &str = "/run/hactl/replica";
/// How long a disk may be held by a process that is gone.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const RELEASE_POLL: Duration = Duration::from_millis(20);

/// Why a volume cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The disk's size is not known, and so the volume's is not.
    #[error("the disk cannot be used, and `size` is not configured, so the volume's size is not known")]
    NoSize(#[source] MetadataError),
    /// What the core does not take.
    #[error("the configuration cannot be used")]
    Config(#[from] replica::config::ConfigError),
    /// The shared secret.
    #[error("the shared secret cannot be used")]
    Secret(#[from] replica_link::KeyError),
    /// The peers.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The folder of the sockets.
    #[error("cannot make {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What a process that was killed has left.
    #[error("a block device of a process that was killed is still there: {0}")]
    Leftover(String),
    /// The operating system.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Where a volume's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What it is to be.
    pub config: PathBuf,
    /// The folder of its sockets.
    pub run: PathBuf,
    /// What is known of its disk from before, which survives the machine's restart.
    pub state: PathBuf,
}

impl Paths {
    /// Those of a volume; a folder that is given replaces the usual one.
    #[must_use]
    pub fn of(name: &str, config: Option<&Path>, run: Option<&Path>) -> Self {
        let config =
            config.map_or_else(|| Path::new(CONFIG_FOLDER).join(format!("{name}.yml")), Path::to_owned);
        let state = run.unwrap_or(Path::new(STATE_FOLDER)).join(format!("{name}.disk"));
        Self { config, run: run.unwrap_or(Path::new(RUN_FOLDER)).join(name), state }
    }

    /// Whether there is such a volume here, or has been since the machine started.
    #[must_use]
    pub fn are_of_a_volume(&self) -> bool {
        self.config.exists() || self.run.exists()
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.run.join("control")
    }

    /// The file that the block device rests on.
    #[must_use]
    pub fn fuse(&self) -> PathBuf {
        self.run.join("volume")
    }

    /// How large its disk was when it was used last.
    #[must_use]
    pub fn last_known(&self) -> LastKnown {
        LastKnown::new(self.state.clone())
    }

    /// The NBD socket.
    #[must_use]
    pub fn nbd(&self) -> PathBuf {
        self.run.join("nbd")
    }
}

/// Takes away what a process of this volume that was killed has left: loop devices, its mount, the device's name. Where nothing
/// is left, nothing is done.
///
/// # Errors
/// When this cannot be a volume's name, a process serves the volume, or a loop device does not go.
pub fn clear_leftovers(name: &str, paths: &Paths) -> Result<(), StartError> {
    settings::check_name(name)?;
    if !paths.run.exists() {
        return Ok(());
    }
    let mut poller = Poller::new().map_err(|source| StartError::System { what: "wait for input", source })?;
    // Until this ends nobody else serves the volume.
    let _held = ControlServer::new(&paths.control(), (&mut poller, 0))?;
    let troubles = blockdev::clear(&paths.fuse(), name);
    troubles.into_iter().next().map_or(Ok(()), |trouble| Err(StartError::Leftover(trouble)))
}

/// The core and its configuration, as far as the disk can be looked at now.
pub(super) fn core(settings: &Settings, paths: &Paths) -> Result<Replica, StartError> {
    let config = settings.config(size(settings, &paths.last_known())?);
    let mut entropy = [0_u8; 8];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| StartError::System { what: "get random numbers", source: error.into() })?;
    Ok(Replica::new(config, u64::from_ne_bytes(entropy))?)
}

fn size(settings: &Settings, known: &LastKnown) -> Result<u64, StartError> {
    let own = settings.own().disk.as_deref();
    let found = own.map(|path| -> Result<(u64, bool), MetadataError> {
        let superblock = known.superblock(&open_when_free(path)?)?;
        Ok((disk::volume_bytes(&superblock), superblock.effective_sectors != 0))
    });
    match (settings.size, found) {
        // The volume may have grown since the file was written.
        (Some(size), Some(Ok((agreed, true)))) => Ok(size.max(agreed)),
        (Some(size), _) => Ok(size),
        (None, Some(found)) => found.map(|(size, _)| size).map_err(StartError::NoSize),
        // The settings were checked: without a disk there is a size.
        (None, None) => Err(StartError::NoSize(MetadataError::Store(StoreError::Kind(PathBuf::new())))),
    }
}

/// Opens the disk to look at it. The kernel lets go of it a moment after the process is gone that had requests under way on it: one
/// that takes the place of a process that was killed waits for that.
fn open_when_free(path: &Path) -> Result<Store, StoreError> {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match Store::open_to_read(path) {
            Err(StoreError::InUse(_)) if Instant::now() < deadline => std::thread::sleep(RELEASE_POLL),
            opened => return opened,
        }
    }
}

/// This end of the connections.
pub(super) fn endpoint(settings: &Settings, config: &Config) -> Result<Endpoint, StartError> {
    let security = match &settings.secret {
        Secret::Shared(secret) => Security::Key(LinkKey::derive(secret, &settings.name)?),
        Secret::Unprotected => Security::Unprotected,
    };
    Ok(Endpoint { volume: settings.name.clone(), node: config.node, security })
}

/// Where the peers are.
pub(super) fn addresses(settings: &Settings, config: &Config) -> BTreeMap<NodeId, SocketAddr> {
    config.peers.keys().filter_map(|peer| Some((*peer, settings.peer(*peer)?.1.address))).collect()
}
