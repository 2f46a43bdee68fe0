//! The exit codes, as documented for scripts.

/// How a run ended, for the program that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; or nothing to do.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// `plan --detailed-exitcode`, `drift`: there are differences.
    Differences = 2,
    /// Usage or inventory error: nothing was contacted.
    Usage = 3,
    /// A node could not be reached or authenticated.
    Unreachable = 4,
    /// A claim was refused or a guard did not hold: nothing further was done.
    Blocked = 5,
    /// The saved plan is stale.
    Stale = 6,
    /// Locked by another run.
    Locked = 7,
    /// Applied, but verification failed.
    Unverified = 8,
    /// Interrupted: running it again goes on from there.
    Interrupted = 130,
}

impl ExitCode {
    /// Every code with its meaning, for help and manual pages.
    pub const MEANINGS: [(Self, &'static str); 10] = [
        (Self::Done, "done; or nothing to do"),
        (Self::Failed, "failed"),
        (Self::Differences, "plan --detailed-exitcode, drift: there are differences"),
        (Self::Usage, "usage or inventory error (nothing was contacted)"),
        (Self::Unreachable, "a node could not be reached or authenticated"),
        (Self::Blocked, "blocked: a claim was refused or a guard did not hold; nothing further was done"),
        (Self::Stale, "the saved plan is stale"),
        (Self::Locked, "locked by another run (who, since when)"),
        (Self::Unverified, "applied, but verification failed"),
        (Self::Interrupted, "interrupted; the run can be resumed by running it again"),
    ];

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}
