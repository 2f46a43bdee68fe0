//! From what is going on to lines of text. Pure.

use std::time::Duration;

use super::{NodeState, RunState};
use crate::apply::{Event, StepResult};
use crate::names::NodeName;
use crate::ui::diff::printable;
use crate::ui::{Theme, count, duration};

/// Columns of the overall bar between its brackets.
const BAR_COLUMNS: usize = 24;

/// One event as one line, or nothing where it is not worth one. `verbose` also tells what each node came to in each
/// stage and what steps wait for.
#[must_use]
pub fn plain_line(event: &Event, verbose: bool, theme: Theme) -> Option<String> {
    Some(match event {
        Event::PhaseStarted { phase, total: 0 } => phase.words().to_owned(),
        Event::PhaseStarted { phase, total } => format!("{} ({total})", phase.words()),
        Event::PhaseFinished { phase, took } if verbose => {
            format!("{} took {}", phase.words(), duration(*took))
        }
        Event::PhaseFinished { .. } => return None,
        Event::NodeDone { phase, node, problem: Some(problem) } => {
            // An error of the way to a node begins with its name.
            let problem = problem.strip_prefix(&format!("{node}: ")).unwrap_or(problem);
            format!("{node}: {}: {}: {}", theme.alarm("FAILED"), phase.words(), printable(problem))
        }
        Event::NodeDone { phase, node, problem: None } if verbose => format!("{node}: {}: ok", phase.words()),
        Event::NodeDone { .. } => return None,
        Event::StepStarted { node, what, .. } => format!("{node}: {}", printable(what)),
        Event::StepProgress { node, text, .. } if verbose => format!("{node}: ... {}", printable(text)),
        Event::StepProgress { .. } => return None,
        Event::StepFinished { node, what, result: StepResult::Done, took, .. } => {
            format!("{node}: {}: {} ({})", theme.good("ok"), printable(what), duration(*took))
        }
        Event::StepFinished { node, what, result: StepResult::Failed(reason), took, .. } => format!(
            "{node}: {}: {} ({}): {}",
            theme.alarm("FAILED"),
            printable(what),
            duration(*took),
            one_line(reason)
        ),
        Event::Note { text } => format!("{}: {}", theme.place("note"), one_line(text)),
    })
}

/// The text on one line.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(printable).collect::<Vec<_>>().join("; ")
}

/// What a terminal shows while the run goes on: the overall bar, then a line per busy node, at most `rows` lines of at
/// most `columns` columns.
#[must_use]
pub fn live_lines(state: &RunState, now: Duration, columns: usize, rows: usize, theme: Theme) -> Vec<String> {
    let mut lines = vec![overall(state, now, theme)];
    let busy = state.busy();
    let room = rows.saturating_sub(1);
    let shown = if busy.len() <= room { busy.len() } else { room.saturating_sub(1) };
    let width = busy.iter().take(shown).map(|(name, _)| name.as_str().len()).max().unwrap_or(0);
    lines.extend(busy.iter().take(shown).map(|(name, node)| node_line(name, node, width, now, theme)));
    if shown < busy.len() {
        lines.push(format!("  and {} more", count(busy.len() - shown, "node")));
    }
    lines.into_iter().map(|line| console::truncate_str(&line, columns, "~").into_owned()).collect()
}

fn overall(state: &RunState, now: Duration, theme: Theme) -> String {
    let Some(phase) = &state.phase else {
        return format!("{} elapsed", duration(now));
    };
    let failed: usize =
        state.nodes.values().map(|node| node.failed + usize::from(node.problem.is_some())).sum();
    let failures =
        if failed == 0 { String::new() } else { format!(", {}", theme.alarm(format!("{failed} failed"))) };
    let words = theme.heading(phase.phase.words()).to_string();
    if phase.total == 0 {
        return format!("{words}{failures}, {} elapsed", duration(now));
    }
    let done = phase.done.min(phase.total);
    let filled = BAR_COLUMNS * done / phase.total;
    let bar = format!("{}{}", "=".repeat(filled), " ".repeat(BAR_COLUMNS - filled));
    format!("{words} [{bar}] {done}/{}{failures}, {} elapsed", phase.total, duration(now))
}

fn node_line(name: &NodeName, node: &NodeState, width: usize, now: Duration, theme: Theme) -> String {
    let Some(running) = node.running.first() else {
        return format!("  {name}");
    };
    let since = duration(now.saturating_sub(running.since));
    let progress = running.progress.as_ref().map(|text| format!(": {}", printable(text))).unwrap_or_default();
    let others = match node.running.len() {
        0 | 1 => String::new(),
        number => format!(" and {}", count(number - 1, "other step")),
    };
    let since = theme.faint(since);
    format!("  {name:width$}  {since}  {}{progress}{others}", printable(&running.what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::Phase;
    use crate::names::ClusterName;
    use crate::plan::StepId;
    use crate::resource::ResourceId;

    const PLAIN: Theme = Theme::new(false);

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn id(name: &str) -> StepId {
        let cluster = ClusterName::new("web").unwrap();
        StepId::new(&ResourceId::of_cluster("x", "y", &cluster), "z", &node(name))
    }

    fn busy(names: &[&str]) -> RunState {
        let mut state = RunState::default();
        state.take(&Event::PhaseStarted { phase: Phase::Apply, total: 8 }, Duration::ZERO);
        for name in names {
            let what = "start corosync.service".to_owned();
            state
                .take(&Event::StepStarted { step: id(name), node: node(name), what }, Duration::from_secs(1));
        }
        state
    }

    #[test]
    fn a_terminal_shows_the_bar_and_a_line_per_busy_node() {
        let mut state = busy(&["alpha", "be"]);
        let text = "waits for quorum".to_owned();
        state.take(&Event::StepProgress { step: id("be"), node: node("be"), text }, Duration::from_secs(2));
        assert_eq!(
            live_lines(&state, Duration::from_secs(13), 80, 10, PLAIN),
            [
                "applying [                        ] 0/8, 13 s elapsed",
                "  alpha  12 s  start corosync.service",
                "  be     12 s  start corosync.service: waits for quorum",
            ]
        );
    }

    #[test]
    fn a_small_terminal_is_never_overrun() {
        let names: Vec<String> = (0..40).map(|number| format!("node{number:02}")).collect();
        let state = busy(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = live_lines(&state, Duration::from_secs(13), 30, 5, PLAIN);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4], "  and 37 nodes more");
        assert!(lines.iter().all(|line| line.len() <= 30), "{lines:?}");
    }

    #[test]
    fn a_pipe_gets_one_line_per_event() {
        let took = Duration::from_millis(7_040);
        let what = "install corosync".to_owned();
        let reason = "exit code 100\n\nE: no such package\n".to_owned();
        let failed = Event::StepFinished {
            step: id("alpha"),
            node: node("alpha"),
            what: what.clone(),
            result: StepResult::Failed(reason),
            took,
        };
        assert_eq!(
            plain_line(&failed, false, PLAIN).as_deref(),
            Some("alpha: FAILED: install corosync (7.0 s): exit code 100; E: no such package")
        );
        let done = Event::StepFinished {
            step: id("alpha"),
            node: node("alpha"),
            what,
            result: StepResult::Done,
            took,
        };
        assert_eq!(plain_line(&done, false, PLAIN).as_deref(), Some("alpha: ok: install corosync (7.0 s)"));
        let node_done = Event::NodeDone { phase: Phase::Connect, node: node("alpha"), problem: None };
        assert_eq!(plain_line(&node_done, false, PLAIN), None);
        assert_eq!(plain_line(&node_done, true, PLAIN).as_deref(), Some("alpha: connecting: ok"));
    }
}
