//! Cuts the text of a `drbd.conf` into words, braces, semicolons and comments.

use std::iter::Peekable;
use std::str::Chars;

use super::parse::{ParseError, ParseErrorKind};
use super::word::{Word, WordError, is_bare};

/// A piece of the text, with the line it begins in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    Open,
    Close,
    End,
    /// Without the `#`.
    Comment(String),
}

/// All pieces of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut characters = text.chars().peekable();
    let mut line = 1;
    let mut found = Vec::new();
    while let Some(&character) = characters.peek() {
        let at = |kind| ParseError { line, kind };
        let token = match character {
            '\n' => {
                line += 1;
                characters.next();
                continue;
            }
            ' ' | '\t' | '\r' => {
                characters.next();
                continue;
            }
            '{' | '}' | ';' => {
                characters.next();
                match character {
                    '{' => Token::Open,
                    '}' => Token::Close,
                    _ => Token::End,
                }
            }
            '#' => {
                characters.next();
                let comment = take_while(&mut characters, |character| character != '\n');
                Token::Comment(comment.trim_end().to_owned())
            }
            '"' => Token::Word(quoted(&mut characters).map_err(at)?),
            other if is_bare(other) => Token::Word(
                Word::bare(take_while(&mut characters, is_bare)).map_err(|error| at(error.into()))?,
            ),
            other => return Err(at(ParseErrorKind::Character(other))),
        };
        found.push((line, token));
    }
    Ok(found)
}

fn take_while(characters: &mut Peekable<Chars<'_>>, wanted: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| characters.next_if(|character| wanted(*character))).collect()
}

fn quoted(characters: &mut Peekable<Chars<'_>>) -> Result<Word, ParseErrorKind> {
    characters.next();
    let mut text = String::new();
    loop {
        match characters.next() {
            None | Some('\n') => return Err(ParseErrorKind::Unterminated),
            Some('"') => return Ok(Word::quoted(text)?),
            // Before any character, a backslash stands for that character.
            Some('\\') => match characters.next() {
                None | Some('\n') => return Err(ParseErrorKind::Unterminated),
                Some(character) => text.push(character),
            },
            Some(character) => text.push(character),
        }
    }
}

impl From<WordError> for ParseErrorKind {
    fn from(error: WordError) -> Self {
        Self::Word(error)
    }
}
