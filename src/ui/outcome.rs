//! What a run came to: failures with what was attempted, what came back, what to do next and where the log is.

use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8Path;

use super::diff::printable;
use super::{Theme, count, duration};
use crate::apply::Outcome;

/// The text for the end of a run.
#[must_use]
pub fn outcome_text(outcome: &Outcome, took: Duration, log: Option<&Utf8Path>, theme: Theme) -> String {
    let mut out = String::new();
    for failure in &outcome.failed {
        let _ =
            writeln!(out, "{} {}: {}", theme.alarm("failed"), failure.node, printable(&failure.attempted));
        for (index, line) in failure.reason.lines().enumerate() {
            let label = if index == 0 { "what came back: " } else { "                " };
            let _ = writeln!(out, "  {label}{}", printable(line));
        }
        if !failure.advice.is_empty() {
            let _ = writeln!(out, "  what to do:     {}", printable(&failure.advice));
        }
    }
    let took = duration(took);
    let done = count(outcome.done.len(), "step");
    if outcome.complete() {
        let _ = writeln!(out, "{}", theme.good(format!("Done: {done} in {took}.")));
        return out;
    }
    // A lost node interrupts a run, too: what failed is what there is to tell.
    let word = if outcome.interrupted && outcome.failed.is_empty() { "Interrupted" } else { "Failed" };
    let mut line = format!("{word} after {took}: {done} done");
    if !outcome.failed.is_empty() {
        let _ = write!(line, ", {} failed", outcome.failed.len());
    }
    if !outcome.not_begun.is_empty() {
        let _ = write!(line, ", {} not begun", outcome.not_begun.len());
    }
    let _ = writeln!(out, "{}", theme.alarm(format!("{line}.")));
    let next = if outcome.unchanged() {
        "Nothing was changed. Run the same command again when what is wrong is mended."
    } else {
        "Run the same command again to go on from here."
    };
    let _ = writeln!(out, "{next}");
    if let Some(log) = log {
        let _ = writeln!(out, "Log of every command: {log}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Failure, FailureKind};
    use crate::names::{ClusterName, NodeName};
    use crate::plan::StepId;
    use crate::resource::ResourceId;

    fn step(what: &str) -> StepId {
        let node = NodeName::new("alpha").unwrap();
        StepId::new(&ResourceId::of_cluster("x", what, &ClusterName::new("web").unwrap()), what, &node)
    }

    #[test]
    fn a_failure_names_node_attempt_answer_advice_and_log() {
        let outcome = Outcome {
            done: vec![step("a"), step("b")],
            failed: vec![Failure {
                step: step("c"),
                node: NodeName::new("alpha").unwrap(),
                attempted: "install corosync".to_owned(),
                reason: "E: Unable to locate package corosync\nexit code 100".to_owned(),
                advice: "check the node's apt sources".to_owned(),
                kind: FailureKind::Failed,
                looked: false,
            }],
            not_begun: vec![step("d")],
            ..Outcome::default()
        };
        let log = Utf8Path::new("/tmp/hactl.log");
        let text = outcome_text(&outcome, Duration::from_secs(12), Some(log), Theme::new(false));
        assert_eq!(
            text,
            "failed alpha: install corosync\n\
             \x20 what came back: E: Unable to locate package corosync\n\
             \x20                 exit code 100\n\
             \x20 what to do:     check the node's apt sources\n\
             Failed after 12 s: 2 steps done, 1 failed, 1 not begun.\n\
             Run the same command again to go on from here.\n\
             Log of every command: /tmp/hactl.log\n"
        );
    }

    #[test]
    fn what_was_only_looked_at_was_not_changed() {
        let mut outcome =
            Outcome { done: vec![step("a")], looked: 1, not_begun: vec![step("b")], ..Outcome::default() };
        let text = |outcome: &Outcome| outcome_text(outcome, Duration::from_secs(1), None, Theme::new(false));
        assert!(text(&outcome).contains("Nothing was changed."), "{}", text(&outcome));
        outcome.looked = 0;
        assert!(text(&outcome).contains("Run the same command again to go on"), "{}", text(&outcome));
    }

    #[test]
    fn a_complete_run_is_one_line() {
        let outcome = Outcome { done: vec![step("a")], ..Outcome::default() };
        assert_eq!(
            outcome_text(&outcome, Duration::from_millis(300), None, Theme::new(false)),
            "Done: 1 step in 0.3 s.\n"
        );
    }
}
