//! How a run is to be done, apart from what the inventory says.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::NodeSelector;

/// Nodes that are asked at the same time unless said otherwise.
pub const DEFAULT_PARALLEL: usize = 32;

/// Options that all verbs share.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes that are asked at the same time.
    pub parallel: usize,
    /// Accept and record the keys of hosts that are not known yet.
    pub accept_new_host_keys: bool,
    /// How long to wait for another run's lock.
    pub lock_timeout: Duration,
    /// Which nodes are meant.
    pub on: NodeSelector,
    /// Folders with barclamps that add to or override the embedded ones.
    pub barclamp_paths: Vec<Utf8PathBuf>,
    /// Where the log of every remote command goes.
    pub log: Option<Utf8PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: DEFAULT_PARALLEL,
            accept_new_host_keys: false,
            lock_timeout: Duration::ZERO,
            on: NodeSelector::default(),
            barclamp_paths: Vec::new(),
            log: None,
        }
    }
}
