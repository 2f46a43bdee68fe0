//! The built executable as a person or a script meets it: help, exit codes, streams, colours.

#![allow(clippy::expect_used, reason = "a test that cannot go on stops with a word")]

#[path = "cli/executable.rs"]
mod executable;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/inventory.rs"]
mod inventory;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/verbs.rs"]
mod verbs;
