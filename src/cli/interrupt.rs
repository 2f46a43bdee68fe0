//! Ctrl-C and SIGTERM: the first lets the steps under way finish, the second ends at once.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{CommandError, ExitCode};
use crate::ui::progress::Progress;

/// Watches the signals of this process.
pub struct Interrupt {
    receiver: watch::Receiver<bool>,
}

impl Interrupt {
    /// From now on the first signal is only noted (and told), the second ends the process with
    /// [`ExitCode::Interrupted`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn watch(progress: Arc<Progress>) -> Result<Self, CommandError> {
        let failed = |error: std::io::Error| CommandError::local("cannot watch for signals", &error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            next(&mut interrupt, &mut terminate).await;
            progress.say("interrupted: the steps under way are finished first; once more ends at once");
            // Without a receiver nobody is left who could finish anything.
            let _ = sender.send(true);
            next(&mut interrupt, &mut terminate).await;
            progress.finish();
            progress.say("interrupted again: ended at once; run the same command again to go on from here");
            std::process::exit(i32::from(ExitCode::Interrupted.number()));
        });
        Ok(Self { receiver })
    }

    /// Becomes true with the first signal.
    #[must_use]
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.receiver.clone()
    }
}

async fn next(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
