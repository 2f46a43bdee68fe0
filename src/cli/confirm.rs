//! The question before something is changed.

use std::io::{BufRead as _, Write as _};

use super::{CommandError, Console, ExitCode};

/// Whether the question that will come can be answered; asked before anything is contacted, so that a pipeline
/// that forgot `--yes` learns it at once.
///
/// # Errors
/// Neither `--yes` nor a terminal on stdin.
pub(super) fn answerable(console: &Console, yes: bool) -> Result<(), CommandError> {
    if yes || console.interactive() {
        return Ok(());
    }
    let problem = "this changes nodes and asks before it does, but stdin or stderr is not a terminal";
    Err(CommandError::new(ExitCode::Usage, problem).advice("look at `hactl plan`, then add --yes"))
}

/// Asks on stderr. Only `y` and `yes` are a yes.
///
/// # Errors
/// The answer is no, or stdin cannot be read.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
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
