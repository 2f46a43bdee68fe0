//! The process beside the volume's that ends its NBD device when the volume's process is gone, however that went.
//!
//! New requests to a device whose server is gone fail at once; those under way wait for a server that could come back, for
//! good: the kernel has no other limit than one that would also end a device whose requests rightly wait, for quorum or for
//! fencing. So somebody who outlives the server has to end it: this process waits for the end of its standard input.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::kernel_nbd;

/// The arguments that make a program of this crate the guard; the device's backend follows.
const WORDS: [&str; 2] = ["replica", "guard-device"];
/// What the guard says when nothing but the end of its input ends it any more.
const READY: u8 = b'.';

/// A guard under way. It ends the device when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    backend: String,
}

impl Guard {
    /// Starts one for the device of this backend, before there is one.
    pub(super) fn start(backend: &str) -> std::io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(WORDS)
            .arg(backend)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let said = child.stdout.take().map(|mut stdout| stdout.read_exact(&mut [0; 1]));
        let guard = Self { child, backend: backend.to_owned() };
        said.unwrap_or_else(|| Err(std::io::Error::other("it has no output"))).map(|()| guard)
    }

    /// What the device says its backend is.
    pub(super) fn backend(&self) -> &str {
        &self.backend
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It is over soon after its input; how it ended it has told the log.
        let _ = self.child.wait();
    }
}

/// The guard's work.
///
/// # Errors
/// When signals cannot be kept off, or nobody is there to be told.
pub fn guard_device(backend: &str) -> std::io::Result<()> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        // The service manager ends all of a unit's processes at once; this one has to be the last.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    if let Err(error) = rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT) {
        eprintln!("the guard of an NBD device may be swapped out: {error}");
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(&[READY])?;
    stdout.flush()?;
    // Nothing is ever sent; and when reading fails, nobody is there any more either.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for trouble in kernel_nbd::release(backend) {
        eprintln!("{trouble}");
    }
    Ok(())
}
