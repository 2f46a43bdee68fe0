//! The `hactl` executable: arguments -> command -> exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hactl::cli::lab;

#[derive(Parser)]
#[command(name = "hactl", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The built-in lab.
    Lab(lab::LabArgs),
}

fn main() -> ExitCode {
    let Verb::Lab(args) = Arguments::parse().verb;
    match lab::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
