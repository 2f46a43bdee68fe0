//! The streams of this process, with what the common flags say about them.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::Arc;

use super::{CommandError, GlobalArgs};
use crate::ui::progress::{Manner, Progress};
use crate::ui::{Detail, Surroundings, Theme};

/// Where results, messages and progress go, and how they look.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    surroundings: Surroundings,
    out: Theme,
    err: Theme,
    quiet: bool,
    verbosity: u8,
}

impl Console {
    /// A console for these flags, in this process's surroundings.
    #[must_use]
    pub fn new(arguments: &GlobalArgs) -> Self {
        let surroundings = Surroundings::detect();
        Self {
            surroundings,
            out: surroundings.stdout(arguments.color),
            err: surroundings.stderr(arguments.color),
            quiet: arguments.quiet,
            verbosity: arguments.verbose,
        }
    }

    /// How stdout is styled.
    #[must_use]
    pub fn out(&self) -> Theme {
        self.out
    }

    /// How stderr is styled.
    #[must_use]
    pub fn err(&self) -> Theme {
        self.err
    }

    /// How much of a plan is shown.
    #[must_use]
    pub fn detail(&self) -> Detail {
        match (self.quiet, self.verbosity) {
            (true, _) => Detail::Quiet,
            (false, 0) => Detail::Normal,
            (false, _) => Detail::Verbose,
        }
    }

    /// Whether stdin is a person.
    #[must_use]
    pub fn interactive(&self) -> bool {
        std::io::stdin().is_terminal() && self.surroundings.stderr_terminal
    }

    /// Whether stdout is a terminal that can be drawn on.
    #[must_use]
    pub fn animated(&self) -> bool {
        self.surroundings.animated()
    }

    /// Writes a result to stdout. A reader that went away (`| head`) is no failure.
    ///
    /// # Errors
    /// stdout cannot be written for another reason (a full disk behind it).
    pub fn result(&self, text: &str) -> Result<(), CommandError> {
        self.result_is_read(text).map(drop)
    }

    /// Writes to stdout; tells whether anybody still reads it.
    ///
    /// # Errors
    /// stdout cannot be written, for another reason than that its reader is gone.
    pub(super) fn result_is_read(&self, text: &str) -> Result<bool, CommandError> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(CommandError::local("cannot write to stdout", &error)),
        }
    }

    /// Writes one JSON document and a newline to stdout.
    ///
    /// # Errors
    /// The value cannot be serialised, or stdout cannot be written.
    pub fn json(&self, document: &impl serde::Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| CommandError::local("cannot write the result as JSON", &error))?;
        self.result(&format!("{text}\n"))
    }

    /// Writes a JSON document on one line to stdout, for those who read a stream of them.
    ///
    /// # Errors
    /// As [`Console::json`].
    pub(super) fn json_line(&self, document: &impl serde::Serialize) -> Result<bool, CommandError> {
        let text = serde_json::to_string(document)
            .map_err(|error| CommandError::local("cannot write the result as JSON", &error))?;
        self.result_is_read(&format!("{text}\n"))
    }

    /// The same console, which tells and shows progress no more than with `--quiet`.
    #[must_use]
    pub fn silenced(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Tells something on stderr, unless `--quiet`.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.tell(text);
        }
    }

    /// Tells something on stderr even when quiet: what went wrong.
    pub fn tell(&self, text: &str) {
        // A stderr that is gone leaves nobody to tell about it.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// A display of progress on stderr.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        let manner = match (self.quiet, self.surroundings.animated()) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Live,
            (false, false) => Manner::Plain,
        };
        Progress::new(manner, self.verbosity > 0, self.err)
    }
}
