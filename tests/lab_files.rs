//! The user's own files and the directories that live on a volume, in a real lab.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "lab/mod.rs"]
mod lab;

#[path = "lab_files/keeper.rs"]
mod keeper;

fn main() -> std::process::ExitCode {
    lab::run_tests(&[("files_and_directories", keeper::files_and_directories)])
}
