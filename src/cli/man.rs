//! `hactl man`: the manual pages, from the same definitions as `--help`.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Command;

use super::{CommandError, Console, ExitCode};

/// Arguments of `hactl man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write hactl.1 and a page for every verb into this folder, instead of hactl.1 to stdout
    #[arg(short, long, value_name = "DIR")]
    output: Option<Utf8PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// The folder or stdout cannot be written.
pub(super) fn run(arguments: &ManArgs, console: &Console) -> Result<(), CommandError> {
    // Subcommands get the common flags when the command is built.
    let mut command = super::command();
    command.build();
    match &arguments.output {
        None => console.result(&page(&command, "hactl")?),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| CommandError::local(&format!("cannot create {folder}"), &error))?;
            let written = write_pages(&command, "hactl", folder)?;
            console.say(&format!("{} in {folder}\n", crate::ui::count(written, "page")));
            Ok(())
        }
    }
}

fn write_pages(command: &Command, name: &str, folder: &Utf8Path) -> Result<usize, CommandError> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command, name)?)
        .map_err(|error| CommandError::local(&format!("cannot write {path}"), &error))?;
    let mut written = 1;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        written += write_pages(verb, &format!("{name}-{}", verb.get_name()), folder)?;
    }
    Ok(written)
}

fn page(command: &Command, name: &str) -> Result<String, CommandError> {
    let mut roff = Vec::new();
    let page = clap_mangen::Man::new(command.clone()).title(name);
    page.render(&mut roff)
        .map_err(|error| CommandError::local(&format!("cannot write the manual page {name}"), &error))?;
    let mut text = String::from_utf8_lossy(&roff).into_owned();
    text.push_str(".SH \"EXIT STATUS\"\n");
    for (code, meaning) in ExitCode::MEANINGS {
        let _ = writeln!(text, ".TP\n{}\n{}", code.number(), meaning.replace('-', "\\-"));
    }
    Ok(text)
}
