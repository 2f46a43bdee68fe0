//! Being told to stop: what was started is ended and what was made is removed first.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

static STOPPED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on SIGINT and SIGTERM are taken note of.
pub(crate) fn watch() -> Result<()> {
    let stopped = STOPPED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(stopped)).context("cannot wait for signals")?;
    }
    Ok(())
}

/// Fails when one came.
pub(crate) fn look() -> Result<()> {
    if STOPPED.get().is_some_and(|stopped| stopped.load(Ordering::Relaxed)) {
        bail!("told to stop");
    }
    Ok(())
}
