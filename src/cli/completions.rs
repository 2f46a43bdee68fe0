//! `hactl completions SHELL`: a completion script on stdout.

use clap_complete::Shell;

use super::{CommandError, Console};

/// Arguments of `hactl completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that the script is for
    shell: Shell,
}

/// Writes the script to stdout.
///
/// # Errors
/// stdout cannot be written.
pub(super) fn run(arguments: &CompletionsArgs, console: &Console) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "hactl", &mut script);
    console.result(&String::from_utf8_lossy(&script))
}
