//! Reads the text of a `corosync.conf` into the generic tree.
//!
//! In: the file's text. Out: a [`Section`], or the first error with its line. The grammar is that of corosync's own
//! `coroparse.c` (3.1): one key, opening or closing brace per line; an opening brace is looked for before a colon.
//! Never checks what keys mean.

use super::tree::{Entry, Section, trim};

/// Largest file accepted, in bytes. Real ones have a few kilobytes.
pub const MAX_CONF_BYTES: usize = 1024 * 1024;
/// Longest line in bytes, without its end: corosync reads into a buffer of 512 that also holds `\n` and NUL.
pub const MAX_LINE_BYTES: usize = 510;
/// Deepest nesting of sections. Corosync's own deepest (`quorum.device.net`) is 3.
pub const MAX_DEPTH: usize = 16;
/// Longest full path of a key (`totem.interface.…`) in bytes (`ICMAP_KEYNAME_MAXLEN`).
const MAX_PATH_BYTES: usize = 255;

/// Why a `corosync.conf` cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corosync.conf line {line}: {kind}")]
pub struct ParseError {
    /// The line, counted from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The file exceeds [`MAX_CONF_BYTES`].
    #[error("the file has {0} bytes, more than the {MAX_CONF_BYTES} that are accepted")]
    TooLarge(usize),
    /// The line exceeds [`MAX_LINE_BYTES`].
    #[error("the line is longer than the {MAX_LINE_BYTES} bytes that corosync reads")]
    LineTooLong,
    /// A NUL byte: corosync would stop reading the line there.
    #[error("the line holds a NUL byte")]
    Nul,
    /// Nesting deeper than [`MAX_DEPTH`].
    #[error("sections are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The path of the key or section is longer than corosync's limit.
    #[error("the full name of the key is longer than {MAX_PATH_BYTES} bytes")]
    PathTooLong,
    /// `{` without a name before it.
    #[error("the section has no name before `{{`")]
    NoSectionName,
    /// Something after `{`.
    #[error("nothing may follow `{{` on its line")]
    AfterBrace,
    /// Something besides `}` on its line.
    #[error("a closing `}}` must be alone on its line")]
    AroundClose,
    /// `}` without a section open.
    #[error("this `}}` closes nothing")]
    UnexpectedClose,
    /// A section without its `}`.
    #[error("the section opened here is not closed")]
    Unclosed,
    /// `:` without a key before it.
    #[error("there is no key before `:`")]
    NoKey,
    /// Neither a key nor a brace.
    #[error("this is neither `key: value`, `section {{` nor `}}`")]
    Nonsense,
}

struct Open {
    name: String,
    line: usize,
    path_bytes: usize,
    body: Section,
}

pub(super) fn parse(text: &str) -> Result<Section, ParseError> {
    if text.len() > MAX_CONF_BYTES {
        return Err(ParseError { line: 0, kind: ParseErrorKind::TooLarge(text.len()) });
    }
    let mut root = Section::new();
    let mut stack: Vec<Open> = Vec::new();
    for (index, raw) in text.split('\n').enumerate() {
        let line = index + 1;
        step(raw, line, &mut root, &mut stack).map_err(|kind| ParseError { line, kind })?;
    }
    match stack.pop() {
        Some(open) => Err(ParseError { line: open.line, kind: ParseErrorKind::Unclosed }),
        None => Ok(root),
    }
}

fn step(raw: &str, line: usize, root: &mut Section, stack: &mut Vec<Open>) -> Result<(), ParseErrorKind> {
    if raw.len() > MAX_LINE_BYTES {
        return Err(ParseErrorKind::LineTooLong);
    }
    if raw.contains('\0') {
        return Err(ParseErrorKind::Nul);
    }
    let text = trim(raw.trim_end_matches(['\r', ' ', '\t']));
    if text.is_empty() {
        return Ok(());
    }
    let entry = if let Some(comment) = text.strip_prefix('#') {
        Entry::Comment(comment.to_owned())
    } else if let Some((before, after)) = text.split_once('{') {
        stack.push(open_section(before, after, line, stack.last(), stack.len())?);
        return Ok(());
    } else if let Some((before, after)) = text.split_once(':') {
        let name = trim(before);
        if name.is_empty() {
            return Err(ParseErrorKind::NoKey);
        }
        check_path(stack.last(), name)?;
        Entry::Key { name: name.to_owned(), value: trim(after).to_owned() }
    } else if text.contains('}') {
        if text != "}" {
            return Err(ParseErrorKind::AroundClose);
        }
        let open = stack.pop().ok_or(ParseErrorKind::UnexpectedClose)?;
        Entry::Section { name: open.name, body: open.body }
    } else {
        return Err(ParseErrorKind::Nonsense);
    };
    stack.last_mut().map_or(root, |open| &mut open.body).entries.push(entry);
    Ok(())
}

fn open_section(
    before: &str,
    after: &str,
    line: usize,
    parent: Option<&Open>,
    depth: usize,
) -> Result<Open, ParseErrorKind> {
    // Corosync also drops a colon between the name and the brace.
    let name = before.trim_end_matches([' ', '\t', ':']);
    if name.is_empty() {
        return Err(ParseErrorKind::NoSectionName);
    }
    if !trim(after).is_empty() {
        return Err(ParseErrorKind::AfterBrace);
    }
    if depth >= MAX_DEPTH {
        return Err(ParseErrorKind::TooDeep);
    }
    let path_bytes = check_path(parent, name)?;
    Ok(Open { name: name.to_owned(), line, path_bytes, body: Section::new() })
}

fn check_path(parent: Option<&Open>, name: &str) -> Result<usize, ParseErrorKind> {
    let bytes = parent.map_or(0, |open| open.path_bytes + 1) + name.len();
    if bytes >= MAX_PATH_BYTES { Err(ParseErrorKind::PathTooLong) } else { Ok(bytes) }
}
