//! A line per finished step, kept on the node that it changed.

use std::time::Duration;

use super::run::{Run, StepError};
use crate::plan::{Action, Step};
use crate::transport::Command;

/// Where the journal is kept on every node.
pub const JOURNAL_PATH: &str = "/var/lib/hactl/journal.jsonl";
/// Lines that are kept; older ones go.
const JOURNAL_LINES: &str = "2000";
/// How long adding a line may take.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Appends `$1` to the journal `$2` and cuts it to the last `$3` lines when it has grown to twice that.
const APPEND: &str = r#"mkdir -p -m 0700 "${2%/*}" && printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >>"$2" || exit 1
if [ "$(wc -l <"$2")" -gt $(($3 * 2)) ]; then tail -n "$3" "$2" >"$2.new" && mv -f "$2.new" "$2"; fi"#;

/// Notes that a step is done, unless it left everything as it was. The journal is for people; runs decide from what they observe.
///
/// # Errors
/// The node could not write the line.
pub(super) async fn note(step: &Step, run: &Run) -> Result<(), StepError> {
    if matches!(step.action, Action::ForgetLedger) || step.action.only_looks() {
        return Ok(());
    }
    let line = serde_json::json!({ "step": step.id, "did": step.action.to_string() }).to_string();
    let command =
        Command::new(["sh", "-c", APPEND, "sh", &line, JOURNAL_PATH, JOURNAL_LINES]).timeout(JOURNAL_TIMEOUT);
    run.must(&step.node, &command, "see that /var is not full or read-only on the node").await.map(|_| ())
}
