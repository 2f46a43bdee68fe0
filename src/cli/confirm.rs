//! The question before something is changed.

use std::io::{BufRead as _, Write as _};

use super::{CommandError, Console, ExitCode, InventoryArgs};

/// The options of every verb that changes nodes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Approval {
    /// Do not ask (overrides no refusal)
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Print the outcome as JSON (needs --yes)
    #[arg(long, requires = "yes")]
    pub(super) json: bool,
}

impl Approval {
    /// Whether the question that will come can be answered; looked at before anything is contacted, so that a pipeline
    /// that forgot `--yes` learns it at once.
    ///
    /// # Errors
    /// No `--yes`, and stdin is not a terminal, or is read for the inventory.
    pub(super) fn answerable(self, console: &Console, inventory: &InventoryArgs) -> Result<(), CommandError> {
        let stdin_taken = inventory.inventory.iter().any(|name| name == "-");
        let problem = match (self.yes, stdin_taken, console.interactive()) {
            (true, _, _) | (false, false, true) => return Ok(()),
            (false, true, _) => "this asks before it changes nodes, but stdin is read for the inventory",
            (false, false, false) => {
                "this asks before it changes nodes, but stdin or stderr is not a terminal"
            }
        };
        Err(CommandError::new(ExitCode::Usage, problem).advice("look at `hactl plan`, then add --yes"))
    }

    /// Asks on stderr, unless it is answered. Only `y` and `yes` are a yes.
    ///
    /// # Errors
    /// The answer is no, or stdin cannot be read.
    pub(super) fn confirm(self, question: &str) -> Result<(), CommandError> {
        if self.yes {
            return Ok(());
        }
        let mut stderr = std::io::stderr().lock();
        let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
        asked.map_err(|error| CommandError::local("cannot ask on stderr", &error))?;
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| CommandError::local("cannot read the answer from stdin", &error))?;
        if agrees(&answer) {
            return Ok(());
        }
        Err(CommandError::new(ExitCode::Failed, "not confirmed: nothing was changed"))
    }
}

fn agrees(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(agrees("y\n") && agrees(" YES\r\n"));
        for no in ["", "\n", "n\n", "no\n", "yep\n", "yes please\n"] {
            assert!(!agrees(no), "{no:?}");
        }
    }
}
