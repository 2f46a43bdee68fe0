//! The generic tree of a `corosync.conf`: sections that hold keys, comments and sections, in order.
//!
//! In: pieces from the parser or from a builder. Out: the text of a file, always formatted the same way. Never
//! interprets a key: that is [`super::CorosyncConf`]'s job.

use std::fmt;

use super::parse::MAX_LINE_BYTES;

/// Characters of indentation per level in a rendered file.
const INDENT: usize = 4;

/// One line or block inside a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `name: value`.
    Key {
        /// The key, without blanks around it.
        name: String,
        /// The value, without blanks around it; may be empty.
        value: String,
    },
    /// `name { … }`.
    Section {
        /// The section's name.
        name: String,
        /// What is in it.
        body: Section,
    },
    /// A whole-line comment, without the leading `#`.
    Comment(String),
}

/// An ordered list of entries: the whole file, or the inside of one `name { … }` block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The entries in file order.
    pub entries: Vec<Entry>,
}

impl Section {
    /// An empty section.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `name`. Where a key is repeated corosync keeps the last one, and so does this.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Key { name: key, value } if key == name => Some(value.as_str()),
            _ => None,
        })
    }

    /// The subsections called `name`, in file order.
    pub fn sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Section> + 'a {
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Section { name: found, body } if found == name => Some(body),
            _ => None,
        })
    }

    /// Sets `name` to `value`: replaces the last occurrence and drops earlier ones, or appends. Surrounding blanks
    /// are removed, as corosync does. Names and values are checked when the file is parsed back, not here.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        let value = value.into();
        let new = Entry::Key { name: trim(name).to_owned(), value: trim(&value).to_owned() };
        let is_it = |entry: &Entry| matches!(entry, Entry::Key { name: key, .. } if key == trim(name));
        match self.entries.iter().rposition(is_it) {
            None => self.entries.push(new),
            Some(last) => {
                self.entries[last] = new;
                let mut index = 0;
                self.entries.retain(|entry| {
                    index += 1;
                    index > last || !is_it(entry)
                });
            }
        }
        self
    }

    /// Removes every occurrence of the key `name`.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.entries.retain(|entry| !matches!(entry, Entry::Key { name: key, .. } if key == name));
        self
    }

    /// Appends a subsection.
    pub fn push(&mut self, name: impl Into<String>, body: Section) -> &mut Self {
        self.entries.push(Entry::Section { name: name.into(), body });
        self
    }

    /// Appends a comment line.
    pub fn comment(&mut self, text: impl Into<String>) -> &mut Self {
        self.entries.push(Entry::Comment(text.into()));
        self
    }

    /// The first subsection called `name`, appended empty when there is none.
    pub fn section_mut(&mut self, name: &str) -> &mut Section {
        let is_it = |entry: &Entry| matches!(entry, Entry::Section { name: found, .. } if found == name);
        let index = match self.entries.iter().position(is_it) {
            Some(index) => index,
            None => {
                self.entries.push(Entry::Section { name: name.to_owned(), body: Section::new() });
                self.entries.len() - 1
            }
        };
        match &mut self.entries[index] {
            Entry::Section { body, .. } => body,
            // `index` was just found, or made, by looking for a section.
            Entry::Key { .. } | Entry::Comment(_) => unreachable!("the index is that of a section"),
        }
    }

    fn write(&self, out: &mut String, depth: usize) {
        for (index, entry) in self.entries.iter().enumerate() {
            match entry {
                Entry::Key { name, value } if value.is_empty() => line(out, depth, &[name, ":"]),
                Entry::Key { name, value } if name.len() + value.len() + 2 > MAX_LINE_BYTES => {
                    line(out, depth, &[name, ":", value]);
                }
                Entry::Key { name, value } => line(out, depth, &[name, ": ", value]),
                Entry::Comment(text) => line(out, depth, &["#", text]),
                Entry::Section { name, body } => {
                    if depth == 0 && index > 0 && !matches!(self.entries[index - 1], Entry::Comment(_)) {
                        out.push('\n');
                    }
                    line(out, depth, &[name, " {"]);
                    body.write(out, depth + 1);
                    line(out, depth, &["}"]);
                }
            }
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, 0);
        f.write_str(&out)
    }
}

/// Writes one line, indented unless that would make it longer than corosync reads.
fn line(out: &mut String, depth: usize, parts: &[&str]) {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let pad = depth * INDENT;
    if bytes + pad <= MAX_LINE_BYTES {
        out.extend(std::iter::repeat_n(' ', pad));
    }
    out.extend(parts.iter().copied());
    out.push('\n');
}

/// Removes what corosync counts as blank: spaces and tabs only.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
