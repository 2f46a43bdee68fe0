//! Differences: which mark stands before a change, and how its lines are shown.

use std::fmt::Write as _;

use super::Theme;

/// What a change does to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It is made.
    Create,
    /// It becomes another.
    Change,
    /// It goes.
    Remove,
}

impl Mark {
    /// The sign at the beginning of the line.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change => '~',
            Self::Remove => '-',
        }
    }

    /// The sign in its colour.
    #[must_use]
    pub fn styled(self, theme: Theme) -> String {
        match self {
            Self::Create => theme.good(self.sign()).to_string(),
            Self::Change => theme.warning(self.sign()).to_string(),
            Self::Remove => theme.bad(self.sign()).to_string(),
        }
    }
}

/// What a difference does, as its lines tell: only additions make, only removals remove, everything else changes.
#[must_use]
pub fn mark_of(diff: &str) -> Mark {
    let (mut added, mut removed, mut kept) = (false, false, false);
    for line in diff.lines() {
        match line.as_bytes().first() {
            Some(b'+') => added = true,
            Some(b'-') => removed = true,
            Some(b'@') | None => {}
            Some(_) => kept = true,
        }
    }
    match (added, removed, kept) {
        (true, false, false) => Mark::Create,
        (false, true, false) => Mark::Remove,
        _ => Mark::Change,
    }
}

/// The lines of a difference, indented and coloured. Control characters are shown, not sent to the terminal: a file
/// on a node must not be able to steer it.
#[must_use]
pub fn styled_diff(diff: &str, indent: usize, theme: Theme) -> String {
    let mut out = String::new();
    // Where all is new, the place says nothing.
    for line in diff.lines().filter(|line| !line.starts_with("@@ -0,0 ")) {
        let line = printable(line);
        let styled = match line.as_bytes().first() {
            Some(b'+') => theme.good(&line).to_string(),
            Some(b'-') => theme.bad(&line).to_string(),
            Some(b'@') => theme.place(&line).to_string(),
            _ => line,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:indent$}{styled}", "");
    }
    out
}

/// The text with control characters (tabs apart) in caret notation.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            '\u{7f}' => out.push_str("^?"),
            c if c.is_ascii_control() => {
                out.push('^');
                out.push(char::from(c as u8 ^ 0x40));
            }
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_follow_the_lines() {
        assert_eq!(mark_of("+corosync\n+pacemaker\n"), Mark::Create);
        assert_eq!(mark_of("@@ -0,0 +1,2 @@\n+a\n+b\n"), Mark::Create);
        assert_eq!(mark_of("@@ -1,2 +1,3 @@\n a\n+b\n"), Mark::Change);
        assert_eq!(mark_of("-a\n+b\n"), Mark::Change);
        assert_eq!(mark_of("-a\n"), Mark::Remove);
        assert_eq!(mark_of("(the present content is not text)\n"), Mark::Change);
        assert_eq!(mark_of(""), Mark::Change);
    }

    #[test]
    fn lines_keep_their_sign_in_the_first_column_after_the_indent() {
        assert_eq!(
            styled_diff("@@ -1 +1 @@\n-a\n+b\n", 4, Theme::new(false)),
            "    @@ -1 +1 @@\n    -a\n    +b\n"
        );
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        let shown = styled_diff("+\u{1b}]0;owned\u{7}\u{9b}2J\n", 0, Theme::new(false));
        assert_eq!(shown, "+^[]0;owned^G\u{fffd}2J\n");
    }
}
