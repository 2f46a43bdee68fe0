//! The transport against real sshd processes of the tests' own: what a user would notice.

// Helpers of tests are not in a `#[test]` themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "ssh/support.rs"]
mod support;

#[path = "ssh/commands.rs"]
mod commands;
#[path = "ssh/files.rs"]
mod files;
#[path = "ssh/host_keys.rs"]
mod host_keys;
#[path = "ssh/jump.rs"]
mod jump;
#[path = "ssh/login.rs"]
mod login;
#[path = "ssh/lost.rs"]
mod lost;
#[path = "ssh/sudo.rs"]
mod sudo;
