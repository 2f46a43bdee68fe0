//! Ctrl-C and SIGTERM: the first lets the steps under way finish, the second ends at once.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{CommandError, ExitCode};
use crate::ui::progress::Progress;

/// SIGINT and SIGTERM of this process, from now on noted instead of obeyed.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub(super) fn new() -> Result<Self, CommandError> {
        let failed = |error: std::io::Error| CommandError::local("cannot watch for signals", &error);
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Lets a run be interrupted.
pub struct Interrupt {
    sender: watch::Sender<bool>,
    progress: Arc<Progress>,
}

impl Interrupt {
    /// From now on the first signal is only noted (and told), the second ends the process with
    /// [`ExitCode::Interrupted`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn watch(progress: Arc<Progress>) -> Result<Self, CommandError> {
        let mut signals = Signals::new()?;
        let sender = watch::Sender::new(false);
        let watched = Self { sender: sender.clone(), progress: Arc::clone(&progress) };
        tokio::spawn(async move {
            signals.next().await;
            progress.say("interrupted: the steps under way are finished first; once more ends at once");
            sender.send_replace(true);
            signals.next().await;
            progress.finish();
            progress.say("interrupted again: ended at once; run the same command again to go on from here");
            std::process::exit(i32::from(ExitCode::Interrupted.number()));
        });
        Ok(watched)
    }

    /// The same when the lock of the run is lost: somebody else may be at work from then on.
    pub fn also_when_lost(&self, mut lost: watch::Receiver<Option<String>>) {
        let (sender, progress) = (self.sender.clone(), Arc::clone(&self.progress));
        tokio::spawn(async move {
            if let Ok(reason) = lost.wait_for(Option::is_some).await {
                let reason = reason.clone().unwrap_or_default();
                progress.say(&format!("{reason}: the steps under way are finished, no other is begun"));
                sender.send_replace(true);
            }
        });
    }

    /// Becomes true with the first signal, or with the loss of the lock.
    #[must_use]
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }
}
