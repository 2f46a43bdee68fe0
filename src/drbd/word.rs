//! One word of a `drbd.conf`, bare or in quotation marks.
//!
//! What exists can be written: limits and characters are those of drbdadm's scanner (9.22).

use std::fmt;

/// Longest bare word in bytes.
pub const MAX_BARE_BYTES: usize = 128;
/// Longest quoted string in bytes.
pub const MAX_QUOTED_BYTES: usize = 255;

/// Words that mean something to drbdadm wherever they stand, and so cannot be names unless quoted.
const KEYWORDS: &[&str] = &[
    "_is_standalone",
    "_peer_node_id",
    "_remote_host",
    "_this_host",
    "address",
    "ask",
    "cmd-timeout-long",
    "cmd-timeout-medium",
    "cmd-timeout-short",
    "common",
    "connection",
    "connection-mesh",
    "device",
    "dialog-refresh",
    "disable-ip-verification",
    "disk",
    "flexible-meta-disk",
    "floating",
    "global",
    "handlers",
    "host",
    "hosts",
    "include",
    "inside",
    "ipv4",
    "ipv6",
    "meta-disk",
    "minor",
    "minor-count",
    "net",
    "no",
    "node-id",
    "on",
    "options",
    "outside",
    "path",
    "port",
    "proxy",
    "resource",
    "sci",
    "sdp",
    "skip",
    "ssocks",
    "stacked-on-top-of",
    "startup",
    "syncer",
    "template-file",
    "usage-count",
    "via",
    "volume",
    "yes",
];

/// Why text cannot be a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Too long for drbdadm.
    #[error("{text:?} has {bytes} bytes, more than the {most} that drbdadm reads")]
    TooLong {
        /// The text.
        text: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A character that cannot stand in it.
    #[error("{0:?} holds a character that cannot stand in a drbd.conf")]
    Character(String),
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    /// A value or name: bare if drbdadm reads that as one, else quoted.
    ///
    /// # Errors
    /// When it is too long, or has a line break or NUL in it.
    pub fn new(text: impl Into<String>) -> Result<Self, WordError> {
        let text = text.into();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        // Other words that begin with a digit may be addresses to drbdadm.
        let begins =
            text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '_'));
        let bare = (begins || is_number(&text))
            && text.len() <= MAX_BARE_BYTES
            && text.bytes().all(plain)
            && !KEYWORDS.contains(&text.as_str());
        if bare { Ok(Self { text, quoted: false }) } else { Self::quoted(text) }
    }

    /// A word in quotation marks.
    ///
    /// # Errors
    /// When it is too long, or has a line break or NUL in it.
    pub fn quoted(text: impl Into<String>) -> Result<Self, WordError> {
        let text = text.into();
        if text.len() > MAX_QUOTED_BYTES {
            return Err(WordError::TooLong { bytes: text.len(), text, most: MAX_QUOTED_BYTES });
        }
        if text.contains(['\n', '\0']) {
            return Err(WordError::Character(text));
        }
        Ok(Self { text, quoted: true })
    }

    /// A bare word of the language: a keyword, a number, an address.
    ///
    /// # Errors
    /// When it is empty or too long, or has a character that ends bare words.
    pub fn bare(text: impl Into<String>) -> Result<Self, WordError> {
        let text = text.into();
        if text.len() > MAX_BARE_BYTES {
            return Err(WordError::TooLong { bytes: text.len(), text, most: MAX_BARE_BYTES });
        }
        if text.is_empty() || !text.chars().all(is_bare) {
            return Err(WordError::Character(text));
        }
        Ok(Self { text, quoted: false })
    }

    /// A word of the language that stands in this program.
    pub(super) fn keyword(text: &'static str) -> Self {
        Self { text: text.to_owned(), quoted: false }
    }

    /// The text, without quotation marks.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it stands in quotation marks.
    #[must_use]
    pub const fn is_quoted(&self) -> bool {
        self.quoted
    }

    /// Whether it is this bare word.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

/// Whether drbdadm takes the text for a number, with or without a unit.
fn is_number(text: &str) -> bool {
    let digits = text.strip_suffix(['K', 'M', 'G', 's']).unwrap_or(text);
    (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a character can stand in a bare word.
pub(super) const fn is_bare(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '{' | '}' | ';' | '"' | '#')
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.quoted {
            return f.write_str(&self.text);
        }
        f.write_str("\"")?;
        for character in self.text.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}
