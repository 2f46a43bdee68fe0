//! The command line: arguments, one file per verb, exit codes.
//!
//! In: what a person typed. Out: results on stdout, everything else on stderr, and one of the documented
//! [`ExitCode`]s. The stages of the pipeline know nothing of all this.

mod apply;
mod arguments;
mod barclamp;
mod carry_out;
mod claims;
mod completions;
mod confirm;
mod console;
mod destroy;
mod discover;
mod drift;
mod drill;
mod error;
mod exit;
mod init;
mod interrupt;
mod inventory_args;
mod lab;
mod log;
mod man;
mod nodes;
mod opened;
mod plan;
mod replica;
mod replica_process;
mod replica_text;
mod replica_words;
mod run;
mod saved_plan;
mod status;
mod validate;
mod verify;

pub use arguments::{Arguments, GlobalArgs, Verb};
pub use console::Console;
pub use error::CommandError;
pub use exit::ExitCode;
pub use init::{InitArgs, Template};
pub use interrupt::Interrupt;
pub use inventory_args::{DEFAULT_INVENTORY, InventoryArgs, inventory_error};
pub use run::{command, main};
pub use validate::{FurtherChecks, ValidateArgs};
