//! Differences by who probably brought them about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::diff::printable;
use super::{Theme, count, mark_of, styled_diff};
use crate::plan::{Origin, ResourceChange};

/// The text; `differences` shows each line by line too.
#[must_use]
pub fn drift_text(
    groups: &BTreeMap<Origin, Vec<&ResourceChange>>,
    differences: bool,
    theme: Theme,
) -> String {
    if groups.is_empty() {
        return format!("{}\n", theme.good("No drift: everything is as the inventory says."));
    }
    let mut out = String::new();
    let mut total = 0;
    for (origin, changes) in groups {
        total += changes.len();
        let _ = writeln!(out, "{}", theme.heading(origin.words()));
        for change in changes {
            let mark = mark_of(&change.diff).styled(theme);
            let id = theme.faint(format!("[{}]", printable(change.resource.as_str())));
            let _ = writeln!(out, "  {mark} {} {id}", printable(&change.summary));
            if differences {
                out.push_str(&styled_diff(&change.diff, 6, theme));
            }
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{}",
        theme.heading(format!("{}; hactl apply makes them go.", count(total, "difference")))
    );
    out
}
