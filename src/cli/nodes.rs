//! Which nodes a verb is about and how they are dealt with: flags of every verb that contacts nodes.

use std::num::NonZeroUsize;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::inventory::parse_duration;
use crate::pipeline::{NodeSelector, Options};

/// Flags of every verb that contacts nodes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Nodes")]
pub(super) struct NodeArgs {
    /// Only these nodes: names, patterns (`ctl*`) and roles (`@storage`), separated by commas
    #[arg(long, value_name = "NODE,GLOB*,@ROLE", value_parser = selector)]
    on: Option<NodeSelector>,
    /// How many nodes are dealt with at the same time
    #[arg(long, value_name = "N", default_value = "32")]
    parallel: NonZeroUsize,
    /// Longest time for the whole run (`90s`, `30m`); without it, every step has its own limit only
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// How long to wait for another run to end (`0s`: not at all)
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    lock_timeout: Duration,
    /// Accept the host keys of nodes that are not known yet, and record them
    #[arg(long)]
    accept_new_host_keys: bool,
    /// Look for barclamps in this folder too (repeatable; they win over built-in ones of the same name)
    #[arg(long = "barclamps", value_name = "DIR")]
    barclamp_paths: Vec<Utf8PathBuf>,
}

impl NodeArgs {
    /// Longest time for the whole run, if there is one.
    #[must_use]
    pub(super) fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// The same as options of the pipeline.
    #[must_use]
    pub(super) fn options(&self, log: Option<Utf8PathBuf>) -> Options {
        Options {
            parallel: self.parallel.get(),
            accept_new_host_keys: self.accept_new_host_keys,
            lock_timeout: self.lock_timeout,
            on: self.on.clone().unwrap_or_default(),
            barclamp_paths: self.barclamp_paths.clone(),
            log,
        }
    }
}

fn selector(text: &str) -> Result<NodeSelector, String> {
    text.parse().map_err(|error: crate::pipeline::SelectorError| error.to_string())
}

/// A duration as the inventory writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
