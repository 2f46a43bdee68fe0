//! The command line: arguments, one file per verb, exit codes.
//!
//! In: what a person typed. Out: results on stdout, everything else on stderr, and one of the documented
//! [`ExitCode`]s. The stages of the pipeline know nothing of all this.

mod arguments;
mod completions;
mod confirm;
mod console;
pub mod discover;
mod error;
mod exit;
mod interrupt;
mod lab;
mod man;
mod run;

pub use arguments::{Arguments, GlobalArgs, Verb};
pub use console::Console;
pub use error::CommandError;
pub use exit::ExitCode;
pub use interrupt::Interrupt;
pub use run::{command, main};
