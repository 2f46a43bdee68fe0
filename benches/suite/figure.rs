//! One line of the result: what was measured, against what, and whether that is good enough.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// When a value is good enough.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// A figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What it is compared with.
    pub(crate) against: String,
    /// When it is good enough.
    pub(crate) goal: Option<Goal>,
    /// What came out.
    pub(crate) value: Option<f64>,
    /// What `value` and the goal count: `x` is the ratio of the two.
    pub(crate) unit: &'static str,
    /// Whether the goal is reached.
    pub(crate) reached: bool,
    /// The measurements behind the value, and what a reader should know of them.
    pub(crate) detail: String,
}

impl Figure {
    /// A figure with its verdict.
    pub(crate) fn new(
        what: &str,
        against: &str,
        goal: Goal,
        value: f64,
        unit: &'static str,
        detail: String,
    ) -> Self {
        let reached = match goal {
            Goal::AtMost(most) => value <= most,
            Goal::AtLeast(least) => value >= least,
        };
        let figure = Self {
            what: what.to_owned(),
            against: against.to_owned(),
            goal: Some(goal),
            value: Some(value),
            unit,
            reached,
            detail,
        };
        println!("{}: {} {}", figure.what, figure.measured(), figure.detail);
        figure
    }

    /// A group that could not be measured.
    pub(crate) fn not_measured(group: &str, why: &str) -> Self {
        println!("{group}: not measured: {why}");
        Self {
            what: group.to_owned(),
            against: String::new(),
            goal: None,
            value: None,
            unit: "",
            reached: false,
            detail: format!("not measured: {why}"),
        }
    }

    fn measured(&self) -> String {
        self.value.map_or_else(|| "-".to_owned(), |value| number(value, self.unit))
    }

    fn wanted(&self) -> String {
        match self.goal {
            None => "-".to_owned(),
            Some(Goal::AtMost(most)) => format!("<= {}", number(most, self.unit)),
            Some(Goal::AtLeast(least)) => format!(">= {}", number(least, self.unit)),
        }
    }
}

fn number(value: f64, unit: &str) -> String {
    if value.abs() < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

/// The figures for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["figure", "against", "goal", "measured", "reached"]);
    for figure in figures {
        let verdict = if figure.reached { "yes" } else { "no" };
        table.add_row([&figure.what, &figure.against, &figure.wanted(), &figure.measured(), verdict]);
    }
    table.to_string()
}
