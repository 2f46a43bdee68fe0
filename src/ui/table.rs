//! The one look that all tables have.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};

use super::Theme;
use super::diff::printable;

/// Blanks between two columns.
const COLUMN_GAP: u16 = 2;

/// How a cell strikes the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As text.
    Plain,
    /// In order.
    Good,
    /// Deserves a look.
    Warning,
    /// Wrong.
    Bad,
}

/// A cell; control characters are shown, not sent.
pub(crate) fn cell(text: impl AsRef<str>, tone: Tone) -> Cell {
    let text = text.as_ref().lines().map(printable).collect::<Vec<_>>().join("\n");
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Warning => cell.fg(Color::DarkYellow),
        Tone::Bad => cell.fg(Color::DarkRed),
    }
}

/// Columns under headings, without borders, as wide as what they hold.
pub(crate) struct Columns {
    table: Table,
}

impl Columns {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str], theme: Theme) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if theme.colours() {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
        Self { table }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.table.add_row(cells);
    }

    /// The table, every line indented and ended, without blanks at the ends of lines.
    pub(crate) fn text(mut self, indent: usize) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, COLUMN_GAP));
        }
        let lines = self.table.lines();
        lines.map(|line| format!("{:indent$}{}\n", "", line.trim_end())).collect()
    }
}
