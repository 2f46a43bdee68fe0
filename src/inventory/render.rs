//! Diagnostics as text: graphical for a terminal, plain for everything else, JSON for programs.
//!
//! In: diagnostics and the sources they point into. Out: strings. Never prints.

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity};
use serde_json::{Value as Json, json};

use super::diagnostic::{Diagnostic, Label, SourceId};
use super::source::{SourceText, Sources};

/// Most diagnostics that are shown; what follows is counted.
pub const MAX_SHOWN: usize = 200;
/// Longest source line that is shown whole, in characters; of longer ones the part around the mistake.
const MAX_LINE_CHARS: usize = 160;
/// Version of the JSON form.
pub const DIAGNOSTICS_FORMAT: u32 = 1;

/// How diagnostics are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `file:line:column: error: ...`, the line and carets; for logs, pipes and editors.
    Plain,
    /// With frames, for a terminal.
    Graphical {
        /// Columns of the terminal.
        width: usize,
        /// Whether colours may be used.
        color: bool,
    },
}

/// The diagnostics as text, each ended by an empty line, then a line that counts them.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(MAX_SHOWN) {
        let drawn = match style {
            Style::Plain => None,
            Style::Graphical { width, color } => graphical(diagnostic, sources, width, color),
        };
        out.push_str(&drawn.unwrap_or_else(|| plain(diagnostic, sources)));
        out.push('\n');
    }
    let count = diagnostics.len();
    if count > MAX_SHOWN {
        out.push_str(&format!("... and {} more\n", count - MAX_SHOWN));
    }
    if count > 0 {
        out.push_str(&format!(
            "{count} {} in the inventory\n",
            if count == 1 { "mistake" } else { "mistakes" }
        ));
    }
    out
}

/// The diagnostics as one JSON document.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], sources: &Sources) -> Json {
    let place = |label: &Label| {
        let mut place = json!({ "text": label.text });
        if let Some(position) = sources.position(label.span) {
            place["file"] = position.source.into();
            place["line"] = position.line.into();
            place["column"] = position.column.into();
        }
        place
    };
    let items: Vec<Json> = diagnostics
        .iter()
        .map(|diagnostic| {
            json!({
                "code": diagnostic.code,
                "message": diagnostic.message,
                "help": diagnostic.help,
                "places": diagnostic.labels.iter().map(place).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "format": DIAGNOSTICS_FORMAT, "valid": diagnostics.is_empty(), "diagnostics": items })
}

fn plain(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut out = String::new();
    let position = diagnostic.labels.first().and_then(|label| sources.position(label.span));
    if let Some(position) = &position {
        out.push_str(&format!("{position}: "));
    }
    out.push_str(&format!("error: {} [{}]\n", diagnostic.message, diagnostic.code));
    for (index, label) in diagnostic.labels.iter().enumerate() {
        if index > 0
            && let Some(position) = sources.position(label.span)
        {
            out.push_str(&format!("  {position}: {}\n", label.text.as_deref().unwrap_or("see here")));
        }
        out.push_str(&snippet(label, sources));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("  help: {help}\n"));
    }
    out
}

/// The line that a label points at, with carets below.
fn snippet(label: &Label, sources: &Sources) -> String {
    let (Some(position), Some(source)) = (sources.position(label.span), sources.get(label.span.source))
    else {
        return String::new();
    };
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    if label.hidden || holds_secret(line_at(source, label.span.start)) {
        return format!("  {number} | (not shown: it holds a secret)\n");
    }
    let line: Vec<char> = line_at(source, label.span.start).chars().map(visible).collect();
    let column = position.column - 1;
    let spanned = source.text.get(label.span.start..label.span.end).unwrap_or_default();
    let carets = spanned.lines().next().unwrap_or_default().chars().count().max(1);
    let first = if line.len() <= MAX_LINE_CHARS { 0 } else { column.saturating_sub(MAX_LINE_CHARS / 2) };
    let shown: String = line.iter().skip(first).take(MAX_LINE_CHARS).collect();
    let before: String = line.iter().skip(first).take(column.saturating_sub(first)).collect();
    let carets = carets.min(MAX_LINE_CHARS);
    let under: String = line.iter().skip(column).take(carets).collect();
    let pad = " ".repeat(console::measure_text_width(&before));
    let carets = "^".repeat(console::measure_text_width(&under).max(1));
    format!("  {number} | {shown}\n  {gutter} | {pad}{carets}\n")
}

fn line_at(source: &SourceText, at: usize) -> &str {
    let at = at.min(source.text.len());
    let start = source.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

/// Whether a line seems to hold a secret itself: a key that is called so, with a text behind it. Such an inventory is
/// refused anyway, but not every mistake that points at such a line knows that.
fn holds_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    ["passw", "passphrase", "secret"].iter().any(|word| {
        lower.match_indices(word).any(|(at, word)| {
            let behind = lower[at + word.len()..].trim_start_matches(is_key).trim_start_matches(['"', '\'']);
            let value = behind.trim_start().strip_prefix(':').map(str::trim_start);
            value.is_some_and(|value| !value.is_empty() && !value.starts_with(['{', '#', '&', '*']))
        })
    })
}

/// A character of a file as it may be shown: nothing that drives a terminal, tabs one column wide.
fn visible(c: char) -> char {
    if c == '\t' {
        ' '
    } else if c.is_control() {
        '\u{fffd}'
    } else {
        c
    }
}

/// The diagnostic with frames; `None` where that would show a secret or an endless line.
fn graphical(diagnostic: &Diagnostic, sources: &Sources, width: usize, color: bool) -> Option<String> {
    let unfit = |label: &Label| {
        let line = sources.get(label.span.source).map(|source| line_at(source, label.span.start));
        label.hidden || line.is_none_or(|line| line.len() > 2 * MAX_LINE_CHARS || holds_secret(line))
    };
    if diagnostic.labels.iter().any(unfit) {
        return None;
    }
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width.max(40))
        .with_context_lines(1)
        .with_links(false)
        .with_show_related_as_nested(true);
    let mut out = String::new();
    handler.render_report(&mut out, &Report::new(diagnostic, sources)).ok()?;
    Some(out)
}

/// A diagnostic in miette's terms.
#[derive(Debug)]
struct Report {
    message: String,
    code: Option<&'static str>,
    help: Option<String>,
    severity: Severity,
    source: Option<WholeLines>,
    labels: Vec<LabeledSpan>,
    related: Vec<Report>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, sources: &Sources) -> Self {
        let home = diagnostic.labels.first().map(|label| label.span.source);
        let (here, elsewhere): (Vec<&Label>, Vec<&Label>) =
            diagnostic.labels.iter().partition(|label| Some(label.span.source) == home);
        let related = elsewhere.into_iter().map(|label| Self {
            message: label.text.clone().unwrap_or_else(|| "see here".to_owned()),
            code: None,
            help: None,
            severity: Severity::Advice,
            source: named(sources, label.span.source),
            labels: vec![underline(label, None)],
            related: Vec::new(),
        });
        Self {
            message: diagnostic.message.clone(),
            code: Some(diagnostic.code),
            help: diagnostic.help.clone(),
            severity: Severity::Error,
            source: home.and_then(|id| named(sources, id)),
            labels: here.into_iter().map(|label| underline(label, label.text.clone())).collect(),
            related: related.collect(),
        }
    }
}

fn named(sources: &Sources, id: SourceId) -> Option<WholeLines> {
    let source = sources.get(id)?;
    // Bytes stay where they are: what could drive a terminal is replaced by as many question marks.
    let text: String = source.text.chars().fold(String::with_capacity(source.text.len()), |mut text, c| {
        if c.is_control() && c != '\n' {
            (0..c.len_utf8()).for_each(|_| text.push(if c == '\t' || c == '\r' { ' ' } else { '?' }));
        } else {
            text.push(c);
        }
        text
    });
    Some(WholeLines { source: NamedSource::new(&source.name, text.clone()), text })
}

/// A source that shows the lines of a mistake and none around them: those may hold what must not be shown.
#[derive(Debug)]
struct WholeLines {
    source: NamedSource<String>,
    text: String,
}

impl miette::SourceCode for WholeLines {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        if lines_before + lines_after == 0 {
            return self.source.read_span(span, 0, 0);
        }
        let (first, last) = (span.offset(), span.offset() + span.len());
        let start = self.text.get(..first).and_then(|text| text.rfind('\n')).map_or(0, |newline| newline + 1);
        let rest = self.text.get(last..).unwrap_or_default();
        let end = last + rest.find('\n').unwrap_or(rest.len());
        self.source.read_span(&(start, end - start).into(), 0, 0)
    }
}

fn underline(label: &Label, text: Option<String>) -> LabeledSpan {
    LabeledSpan::new(text, label.span.start, (label.span.end - label.span.start).max(1))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.code.map(|code| Box::new(code) as Box<dyn std::fmt::Display>)
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() { None } else { Some(Box::new(self.labels.iter().cloned())) }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.related.is_empty() {
            None
        } else {
            Some(Box::new(self.related.iter().map(|report| report as &dyn miette::Diagnostic)))
        }
    }
}
