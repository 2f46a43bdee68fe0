//! One client per file.

pub(crate) mod copy;
pub(crate) mod fio;
pub(crate) mod info;
pub(crate) mod qemu;
pub(crate) mod shell;

mod pattern;
mod program;
