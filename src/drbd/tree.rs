//! The generic tree of a `drbd.conf`: sections that hold statements, comments and sections, in order.
//!
//! In: pieces from the parser or from a builder. Out: the text of a file, always formatted the same way. Never
//! interprets a word: that is [`super::Resource`]'s job.

use std::fmt;

use super::word::Word;

/// Characters of indentation per level in a rendered file.
const INDENT: usize = 4;

/// One line or block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `keyword value …;`.
    Statement(Statement),
    /// `keyword name … { … }`.
    Section(Section),
    /// A comment, without the leading `#`; a line of its own once it is written.
    Comment(String),
}

/// `keyword value …;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The first word.
    pub keyword: Word,
    /// The other words.
    pub values: Vec<Word>,
}

/// `keyword name … { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Whether `skip` stands before it: drbdadm ignores it then.
    pub skip: bool,
    /// The first word.
    pub keyword: Word,
    /// The other words before the brace: of a resource its name, of a host its names …
    pub names: Vec<Word>,
    /// What is in it, in file order.
    pub body: Vec<Entry>,
}

impl Section {
    /// A section of that kind.
    pub(super) fn new(keyword: &'static str, names: Vec<Word>, body: Vec<Entry>) -> Self {
        Self { skip: false, keyword: Word::keyword(keyword), names, body }
    }

    /// The subsections of a kind that are not skipped, in file order.
    pub fn sections<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Self> + 'a {
        sections(&self.body, keyword)
    }

    /// The statement of that name; the last if there are several.
    #[must_use]
    pub fn statement(&self, keyword: &str) -> Option<&Statement> {
        self.body.iter().rev().find_map(|entry| match entry {
            Entry::Statement(statement) if statement.keyword.is(keyword) => Some(statement),
            _ => None,
        })
    }
}

impl Statement {
    /// A statement of that kind.
    pub(super) fn new(keyword: &'static str, values: Vec<Word>) -> Self {
        Self { keyword: Word::keyword(keyword), values }
    }
}

/// The sections of a kind that are not skipped.
pub(super) fn sections<'a>(entries: &'a [Entry], keyword: &'a str) -> impl Iterator<Item = &'a Section> + 'a {
    entries.iter().filter_map(move |entry| match entry {
        Entry::Section(section) if !section.skip && section.keyword.is(keyword) => Some(section),
        _ => None,
    })
}

/// The text of entries.
pub(super) struct Rendered<'a>(pub(super) &'a [Entry]);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_entries(f, self.0, 0)
    }
}

fn write_entries(f: &mut fmt::Formatter<'_>, entries: &[Entry], depth: usize) -> fmt::Result {
    let pad = depth * INDENT;
    for (index, entry) in entries.iter().enumerate() {
        // At the top a section, with the comments before it, stands apart.
        let before = index.checked_sub(1).map(|index| &entries[index]);
        let apart = match (entry, before) {
            (Entry::Comment(_), Some(Entry::Section(_))) => true,
            (Entry::Section(_), Some(before)) => !matches!(before, Entry::Comment(_)),
            _ => false,
        };
        if depth == 0 && apart {
            writeln!(f)?;
        }
        match entry {
            Entry::Comment(text) => writeln!(f, "{:pad$}#{text}", "")?,
            Entry::Statement(Statement { keyword, values }) => {
                write!(f, "{:pad$}{keyword}", "")?;
                values.iter().try_for_each(|value| write!(f, " {value}"))?;
                writeln!(f, ";")?;
            }
            Entry::Section(section) => {
                write!(f, "{:pad$}{}{}", "", if section.skip { "skip " } else { "" }, section.keyword)?;
                section.names.iter().try_for_each(|name| write!(f, " {name}"))?;
                writeln!(f, " {{")?;
                write_entries(f, &section.body, depth + 1)?;
                writeln!(f, "{:pad$}}}", "")?;
            }
        }
    }
    Ok(())
}
