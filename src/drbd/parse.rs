//! Reads the text of a `drbd.conf` into its tree.
//!
//! The grammar is drbdadm's: words and then either `;` or a section in braces, `skip` before a section, comments from `#`
//! to the end of the line. Never checks what words mean.

use super::lex::{Token, tokens};
use super::tree::{Entry, Section, Statement};
use super::word::{Word, WordError};

/// Largest file accepted, in bytes. Real ones have a few kilobytes.
pub const MAX_CONF_BYTES: usize = 1024 * 1024;
/// Deepest nesting of sections. DRBD's own deepest (a proxy's plugins in a host of a resource) is 4.
pub const MAX_DEPTH: usize = 16;

/// Why a `drbd.conf` cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("drbd.conf line {line}: {kind}")]
pub struct ParseError {
    /// The line, counted from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The file exceeds [`MAX_CONF_BYTES`].
    #[error("the file has {0} bytes, more than the {MAX_CONF_BYTES} that are accepted")]
    TooLarge(usize),
    /// Nesting deeper than [`MAX_DEPTH`].
    #[error("sections are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A character outside of quotation marks that drbdadm does not read.
    #[error("{0:?} cannot stand here without quotation marks")]
    Character(char),
    /// A quoted string without its end on the same line.
    #[error("the quotation marks opened here are not closed on this line")]
    Unterminated,
    /// A word that is too long, or has a NUL in it.
    #[error(transparent)]
    Word(WordError),
    /// `{` or `;` without a word before it.
    #[error("there is no word before `{0}`")]
    NoKeyword(char),
    /// `skip` before something that is no section.
    #[error("`skip` stands before sections only")]
    SkippedStatement,
    /// `}` without a section open.
    #[error("this `}}` closes nothing")]
    UnexpectedClose,
    /// A section without its `}`.
    #[error("the section opened here is not closed")]
    UnclosedSection,
    /// Words without `;` or `{` after them.
    #[error("there is no `;` after the statement that begins here")]
    UnendedStatement,
}

/// What has been read of a section: its head and the line of that, and its body so far.
struct Open {
    line: usize,
    skip: bool,
    keyword: Word,
    names: Vec<Word>,
    body: Vec<Entry>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Entry>, ParseError> {
    if text.len() > MAX_CONF_BYTES {
        return Err(ParseError { line: 0, kind: ParseErrorKind::TooLarge(text.len()) });
    }
    let mut top = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut first_line = 0;
    for (line, token) in tokens(text)? {
        let at = |kind| ParseError { line, kind };
        let entry = match token {
            Token::Word(word) => {
                if words.is_empty() {
                    first_line = line;
                }
                words.push(word);
                continue;
            }
            // One between the words of a statement moves before it.
            Token::Comment(text) => Entry::Comment(text),
            Token::End => Entry::Statement(statement(std::mem::take(&mut words)).map_err(at)?),
            Token::Open => {
                if stack.len() >= MAX_DEPTH {
                    return Err(at(ParseErrorKind::TooDeep));
                }
                stack.push(open(std::mem::take(&mut words), first_line).map_err(at)?);
                continue;
            }
            Token::Close if !words.is_empty() => {
                return Err(ParseError { line: first_line, kind: ParseErrorKind::UnendedStatement });
            }
            Token::Close => {
                let Open { skip, keyword, names, body, .. } =
                    stack.pop().ok_or_else(|| at(ParseErrorKind::UnexpectedClose))?;
                Entry::Section(Section { skip, keyword, names, body })
            }
        };
        stack.last_mut().map_or(&mut top, |open| &mut open.body).push(entry);
    }
    if !words.is_empty() {
        return Err(ParseError { line: first_line, kind: ParseErrorKind::UnendedStatement });
    }
    match stack.pop() {
        Some(open) => Err(ParseError { line: open.line, kind: ParseErrorKind::UnclosedSection }),
        None => Ok(top),
    }
}

fn statement(words: Vec<Word>) -> Result<Statement, ParseErrorKind> {
    let mut words = words.into_iter();
    let keyword = words.next().ok_or(ParseErrorKind::NoKeyword(';'))?;
    if keyword.is("skip") {
        return Err(ParseErrorKind::SkippedStatement);
    }
    Ok(Statement { keyword, values: words.collect() })
}

fn open(words: Vec<Word>, line: usize) -> Result<Open, ParseErrorKind> {
    let mut words = words.into_iter().peekable();
    let skip = words.next_if(|word| word.is("skip")).is_some();
    let keyword = match words.next() {
        Some(keyword) if keyword.is("skip") => return Err(ParseErrorKind::SkippedStatement),
        Some(keyword) => keyword,
        // `skip { … }`: whatever it is, it is skipped.
        None if skip => {
            return Ok(Open {
                line,
                skip: false,
                keyword: Word::keyword("skip"),
                names: Vec::new(),
                body: Vec::new(),
            });
        }
        None => return Err(ParseErrorKind::NoKeyword('{')),
    };
    Ok(Open { line, skip, keyword, names: words.collect(), body: Vec::new() })
}
