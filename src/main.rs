//! The `hactl` executable: arguments -> command -> exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hactl::cli::main(std::env::args_os()).into()
}
