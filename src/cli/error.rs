//! Why a command ended, and with which exit code. Every error of the pipeline becomes one of these here and
//! nowhere else.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::ExitCode;
use crate::apply::{FailureKind, LockError, Outcome};
use crate::lab::LabError;
use crate::pipeline::PipelineError;
use crate::transport::TransportError;
use crate::ui::Theme;

/// A command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    code: ExitCode,
    report: Report,
}

/// What is told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Report {
    /// These problems, all of one stage.
    Problems { problems: Vec<String>, advice: Option<String>, log: Option<Utf8PathBuf> },
    /// A text that is complete and styled already (diagnostics with source lines).
    Rendered(String),
    /// Nothing: it was told before.
    Told,
}

impl CommandError {
    /// One problem.
    #[must_use]
    pub fn new(code: ExitCode, problem: impl Into<String>) -> Self {
        Self::all(code, vec![problem.into()])
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        if let Report::Problems { advice: place, .. } = &mut self.report {
            *place = Some(advice.into());
        }
        self
    }

    /// The same, followed by the problems that caused it.
    #[must_use]
    pub fn because(mut self, cause: &Self) -> Self {
        if let (
            Report::Problems { problems, log, .. },
            Report::Problems { problems: causes, log: its_log, .. },
        ) = (&mut self.report, &cause.report)
        {
            problems.extend(causes.iter().cloned());
            log.clone_from(its_log);
        }
        self
    }

    /// The same with the file where the log of the run is, once something was written to it: where nothing was
    /// contacted, no command was run.
    #[must_use]
    pub fn log(mut self, path: &Utf8Path) -> Self {
        if self.code != ExitCode::Usage
            && let Report::Problems { log: place, .. } = &mut self.report
            && path.exists()
        {
            *place = Some(path.to_owned());
        }
        self
    }

    /// The same, saying that no node was changed.
    #[must_use]
    pub(super) fn unchanged(mut self) -> Self {
        const UNCHANGED: &str = "nothing was changed";
        if let Report::Problems { advice, .. } = &mut self.report {
            *advice = Some(
                advice.take().map_or_else(|| UNCHANGED.to_owned(), |advice| format!("{advice}; {UNCHANGED}")),
            );
        }
        self
    }

    /// Several problems of one stage.
    #[must_use]
    pub fn all(code: ExitCode, problems: Vec<String>) -> Self {
        Self { code, report: Report::Problems { problems, advice: None, log: None } }
    }

    /// A complete text.
    #[must_use]
    pub fn rendered(code: ExitCode, text: impl Into<String>) -> Self {
        Self { code, report: Report::Rendered(text.into()) }
    }

    /// An end that needs no more words.
    #[must_use]
    pub fn told(code: ExitCode) -> Self {
        Self { code, report: Report::Told }
    }

    /// A problem with a local file or stream.
    #[must_use]
    pub fn local(what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(ExitCode::Failed, format!("{what}: {}", chain(error)))
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// What stderr gets.
    #[must_use]
    pub fn text(&self, theme: Theme) -> String {
        let mut out = String::new();
        match &self.report {
            Report::Told => {}
            Report::Rendered(text) => {
                let _ = writeln!(out, "{}", text.trim_end());
            }
            Report::Problems { problems, advice, log } => {
                for problem in problems {
                    let mut lines = problem.lines();
                    let _ = writeln!(out, "{}: {}", theme.alarm("error"), lines.next().unwrap_or_default());
                    for line in lines {
                        let _ = writeln!(out, "       {line}");
                    }
                }
                if let Some(advice) = advice {
                    let _ = writeln!(out, "  what to do: {advice}");
                }
                if let Some(log) = log {
                    let _ = writeln!(out, "  log of every command: {log}");
                }
            }
        }
        out
    }
}

/// An error with everything that caused it, on one line.
#[must_use]
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// The exit code of a failure of the way to a node.
#[must_use]
pub(super) fn transport_code(error: &TransportError) -> ExitCode {
    match error {
        TransportError::Unreachable { .. }
        | TransportError::HostKey { .. }
        | TransportError::Authentication { .. }
        | TransportError::Privilege { .. }
        | TransportError::Lost { .. } => ExitCode::Unreachable,
        TransportError::Configuration { .. } => ExitCode::Usage,
        TransportError::Timeout { .. }
        | TransportError::TooMuchOutput { .. }
        | TransportError::Failed { .. } => ExitCode::Failed,
    }
}

/// The exit code of a run: what failed outweighs that the run was interrupted, because a node that is lost interrupts a
/// run too; a plain failure outweighs the others, for it is what a person has to look at first.
#[must_use]
pub(super) fn outcome_code(outcome: &Outcome) -> ExitCode {
    match outcome.failed.iter().map(|failure| failure.kind).min() {
        None if outcome.complete() => ExitCode::Done,
        None if outcome.interrupted => ExitCode::Interrupted,
        None | Some(FailureKind::Failed) => ExitCode::Failed,
        Some(FailureKind::Guard) => ExitCode::Blocked,
        Some(FailureKind::Unreachable) => ExitCode::Unreachable,
    }
}

impl From<TransportError> for CommandError {
    fn from(error: TransportError) -> Self {
        Self::new(transport_code(&error), chain(&error))
    }
}

impl From<LabError> for CommandError {
    fn from(error: LabError) -> Self {
        let code = match error.exit_code() {
            3 => ExitCode::Usage,
            7 => ExitCode::Locked,
            _ => ExitCode::Failed,
        };
        Self::new(code, chain(&error))
    }
}

impl From<PipelineError> for CommandError {
    fn from(error: PipelineError) -> Self {
        let problem = chain(&error);
        match error {
            PipelineError::Selector(_) | PipelineError::NoClaim { .. } => Self::new(ExitCode::Usage, problem),
            PipelineError::Barclamps(errors) => {
                Self::all(ExitCode::Usage, errors.iter().map(|e| chain(e)).collect())
            }
            PipelineError::Inventory(_) => Self::rendered(ExitCode::Usage, problem),
            PipelineError::Secrets(problems) => Self::all(ExitCode::Usage, problems),
            PipelineError::Nodes(errors) => nodes(&errors),
            PipelineError::Stale(_) => Self::new(ExitCode::Stale, problem),
            PipelineError::Blocked(_) | PipelineError::NoLedger(_) => Self::new(ExitCode::Blocked, problem),
            PipelineError::Locked(LockError::Held { .. }) => Self::new(ExitCode::Locked, problem)
                .advice("wait for it to end, or let hactl wait with --lock-timeout"),
            PipelineError::Log { .. } => Self::new(ExitCode::Usage, problem)
                .advice("name a file in a folder that exists and can be written (--log)"),
            PipelineError::Timeout(_) => Self::new(ExitCode::Failed, problem)
                .advice("run the same command again, with more time if it needs it: it goes on from there"),
            PipelineError::Locked(_) | PipelineError::Plan(_) => Self::new(ExitCode::Failed, problem),
        }
    }
}

/// Nodes that could not be asked: together they have the code of the worst, an unreachable one before all others.
fn nodes(errors: &[TransportError]) -> CommandError {
    let codes: Vec<ExitCode> = errors.iter().map(transport_code).collect();
    let code = [ExitCode::Unreachable, ExitCode::Failed, ExitCode::Usage]
        .into_iter()
        .find(|code| codes.contains(code));
    let problems = errors.iter().map(|error| chain(error)).collect();
    let told = CommandError::all(code.unwrap_or(ExitCode::Failed), problems);
    // What to do about the others is in their own words.
    if errors.iter().any(|error| matches!(error, TransportError::Unreachable { .. })) {
        let where_to =
            "see that the machine is up and that `address` and `ssh.port` in the inventory are right";
        return told.advice(format!("{where_to}, then run again"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_cannot_be_reached_is_told_from_one_that_fails() {
        let node = crate::names::NodeName::new("alpha").unwrap();
        let unreachable = TransportError::Unreachable {
            node: node.clone(),
            address: "192.0.2.1:22".to_owned(),
            reason: "connection refused".to_owned(),
        };
        let error = CommandError::from(unreachable);
        assert_eq!(error.code(), ExitCode::Unreachable);
        assert_eq!(
            error.text(Theme::new(false)),
            "error: alpha: cannot connect to 192.0.2.1:22: connection refused\n"
        );
        let failed =
            TransportError::Failed { node, attempted: "read /x".to_owned(), reason: "no".to_owned() };
        assert_eq!(transport_code(&failed), ExitCode::Failed);
    }

    #[test]
    fn the_outcome_of_an_interrupted_run_says_so() {
        assert_eq!(outcome_code(&Outcome { interrupted: true, ..Outcome::default() }), ExitCode::Interrupted);
        assert_eq!(outcome_code(&Outcome::default()), ExitCode::Done);
    }
}
