//! What tests in a real lab share: a harness that counts what cannot run as skipped, labs that end with their test,
//! runs of the built executable with a deadline, and a client of the virtual address.
//!
//! A test file is a program of its own (`harness = false` in Cargo.toml):
//!
//! ```ignore
//! #[path = "lab/mod.rs"]
//! mod lab;
//!
//! fn main() -> std::process::ExitCode {
//!     lab::run_tests(&[("bring_up", bring_up)])
//! }
//! ```

// Each test file uses a part of this.
#![allow(dead_code, unused_imports)]

mod client;
#[path = "../support/harness.rs"]
mod harness;
mod nodes;
mod program;

pub(crate) use client::Client;
pub(crate) use nodes::{RUN_LIMIT, TestLab};
pub(crate) use program::{Program, Ran};

/// Lists or runs tests that need a lab, as the command line says. Where there can be no lab all are skipped.
pub(crate) fn run_tests(tests: &[(&'static str, fn())]) -> std::process::ExitCode {
    let missing = hactl::lab::check_prerequisites().err().map(|error| error.to_string().replace('\n', "; "));
    let test = |(name, run): &(&'static str, fn())| harness::Test { name, run: *run, missing: missing.clone() };
    harness::run_tests(&tests.iter().map(test).collect::<Vec<_>>())
}
