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
mod gate;
#[path = "../support/harness.rs"]
mod harness;
mod nodes;
mod program;

pub(crate) use client::Client;
pub(crate) use gate::{Test, run_tests, run_tests_and, run_vm_tests};
pub(crate) use nodes::{RUN_LIMIT, TestLab};
pub(crate) use program::{Program, Ran};
