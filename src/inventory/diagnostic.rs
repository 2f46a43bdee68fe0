//! What is wrong with an inventory, and where: data for people and programs.
//!
//! In: positions and words from the loading stages. Out: values that [`render`](super::render) prints. Never prints.

use std::fmt;

/// Longest message or help text in characters; offending text from a file is cut there.
pub const MAX_MESSAGE_CHARS: usize = 600;

/// A file (or stream) that was read, by its place in [`Sources`](super::Sources).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A piece of a source: bytes `start` (inclusive) to `end` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A place that a diagnostic points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be said of it, if anything.
    pub text: Option<String>,
    /// The source line holds a secret and must not be shown.
    pub hidden: bool,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of mistake, for programs: `unknown-key`, `duplicate-address`, ...
    pub code: &'static str,
    /// What is wrong, in a sentence without full stop.
    pub message: String,
    /// Where: the first is the place itself, others are what it collides with. Empty when the mistake has no place.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake without a place.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: presentable(&message.into()), labels: Vec::new(), help: None }
    }

    /// The same, pointing at this place as well. `None` adds nothing.
    #[must_use]
    pub fn at(self, span: impl Into<Option<Span>>) -> Self {
        self.label(span, None, false)
    }

    /// The same, pointing at another place that has to do with it.
    #[must_use]
    pub fn also(self, span: impl Into<Option<Span>>, text: impl Into<String>) -> Self {
        self.label(span, Some(presentable(&text.into())), false)
    }

    /// The same, pointing at a place whose line is not shown because it holds a secret.
    #[must_use]
    pub fn at_secret(self, span: impl Into<Option<Span>>) -> Self {
        self.label(span, None, true)
    }

    /// The same, with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(presentable(&help.into()));
        self
    }

    fn label(mut self, span: impl Into<Option<Span>>, text: Option<String>, hidden: bool) -> Self {
        if let Some(span) = span.into() {
            self.labels.push(Label { span, text, hidden });
        }
        self
    }

    /// Where it belongs among others: by source and place, those without a place first.
    pub(super) fn sort_key(&self) -> (Option<(SourceId, usize)>, &'static str, &str) {
        let place = self.labels.first().map(|label| (label.span.source, label.span.start));
        (place, self.code, &self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Text from a file made safe to print: control characters escaped, cut to [`MAX_MESSAGE_CHARS`].
fn presentable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == MAX_MESSAGE_CHARS {
            out.push('…');
            break;
        }
        if c.is_control() && c != '\n' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let diagnostic = Diagnostic::new("x", "bad \u{1b}[31m name \u{9b}1m");
        assert_eq!(diagnostic.message, "bad \\u{1b}[31m name \\u{9b}1m");
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(Diagnostic::new("x", "y".repeat(10_000)).message.chars().count(), MAX_MESSAGE_CHARS + 1);
    }
}
