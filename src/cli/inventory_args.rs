//! The flags that name the inventory, and loading it for a verb.
//!
//! In: `-i` and `--var`. Out: an inventory, or the error with everything that is wrong. Never contacts a node.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use super::{CommandError, Console, ExitCode};
use crate::inventory::{LoadError, Loaded, Source, Style, is_variable_name, load};

/// The inventory when none is named.
pub const DEFAULT_INVENTORY: &str = "inventory.yml";

/// Which inventory a verb works on.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Inventory")]
pub struct InventoryArgs {
    /// Inventory: a file, a folder of *.yml files, or - for stdin; repeated ones are merged [default: inventory.yml]
    #[arg(short = 'i', long = "inventory", value_name = "FILE|DIR|-", env = "HACTL_INVENTORY")]
    pub inventory: Vec<String>,
    /// Set a variable of the inventory
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
}

impl InventoryArgs {
    /// What is to be read.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        if self.inventory.is_empty() {
            return vec![Source::from(DEFAULT_INVENTORY)];
        }
        self.inventory.iter().map(|name| Source::from(name.as_str())).collect()
    }

    /// The inventory, or everything that is wrong with it as data.
    ///
    /// # Errors
    /// See [`load`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let variables: BTreeMap<String, String> = self.variables.iter().cloned().collect();
        load(&self.sources(), &variables)
    }

    /// The inventory, or everything that is wrong with it drawn for this console.
    ///
    /// # Errors
    /// Exit code 3.
    pub fn load_for(&self, console: &Console) -> Result<Loaded, CommandError> {
        self.load().map_err(|error| inventory_error(&error, console))
    }
}

/// Mistakes of an inventory as the end of a command: drawn with frames on a terminal, plainly elsewhere.
#[must_use]
pub fn inventory_error(error: &LoadError, console: &Console) -> CommandError {
    let plain =
        !std::io::stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let style = if plain {
        Style::Plain
    } else {
        let width = console::Term::stderr().size().1;
        Style::Graphical { width: usize::from(width), color: console.err().colours() }
    };
    CommandError::rendered(ExitCode::Usage, error.render(style))
}

/// `KEY=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if is_variable_name(key) => Ok((key.to_owned(), value.to_owned())),
        Some(_) => {
            Err("a variable's name has letters, digits, `_` and `-`, and begins with a letter".to_owned())
        }
        None => Err("write KEY=VALUE".to_owned()),
    }
}
