//! Where inventories come from: files, folders of files, standard input.
//!
//! In: what `-i` named. Out: texts with their names, within limits. Never parses.

use std::collections::BTreeSet;
use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};

use super::diagnostic::{Diagnostic, SourceId, Span};

/// Most bytes of one inventory file.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most bytes of all files of one inventory.
pub const MAX_TOTAL_BYTES: u64 = 32 * 1024 * 1024;
/// Most files of one inventory.
pub const MAX_FILES: usize = 512;

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder whose `*.yml` and `*.yaml` are read in the order of their names.
    Path(Utf8PathBuf),
    /// Standard input; relative paths in it are relative to the current folder.
    Stdin,
    /// A text that is at hand already.
    Text {
        /// What to call it in messages.
        name: String,
        /// The YAML.
        text: String,
    },
}

impl From<&str> for Source {
    /// `-` is standard input, anything else a path.
    fn from(argument: &str) -> Self {
        if argument == "-" { Self::Stdin } else { Self::Path(argument.into()) }
    }
}

/// One text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// Its path as given, `<stdin>`, or the name of a text.
    pub name: String,
    /// Its content, without a byte order mark.
    pub text: String,
    /// The folder that relative paths in it start from; absolute.
    pub base: Utf8PathBuf,
}

/// A place in words: what editors and people count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Name of the source.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

/// All texts of an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    texts: Vec<SourceText>,
}

impl Sources {
    /// Adds a text and says how to refer to it.
    pub(super) fn add(&mut self, text: SourceText) -> SourceId {
        let id = SourceId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text);
        id
    }

    /// The text that a span refers to.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&SourceText> {
        self.texts.get(id.0 as usize)
    }

    /// All of them, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &SourceText)> {
        (0_u32..).map(SourceId).zip(&self.texts)
    }

    /// The beginning of a span as line and column; `None` when the span is not from here.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let source = self.get(span.source)?;
        let before = source.text.get(..span.start.min(source.text.len()))?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Position {
            source: source.name.clone(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }
}

/// Reads everything that was named. What cannot be read is reported, the rest is read all the same.
pub(super) fn read(wanted: &[Source]) -> (Sources, Vec<Diagnostic>) {
    let mut reader = Reader::default();
    if wanted.is_empty() {
        reader.problems.push(
            Diagnostic::new("no-inventory", "no inventory was named")
                .help("name a file, a folder or `-` with -i"),
        );
    }
    for source in wanted {
        match source {
            Source::Path(path) => reader.path(path),
            Source::Stdin => reader.stdin(),
            Source::Text { name, text } => {
                reader.add(name.clone(), text.clone().into_bytes(), Utf8Path::new(""));
            }
        }
    }
    (reader.sources, reader.problems)
}

#[derive(Default)]
struct Reader {
    sources: Sources,
    problems: Vec<Diagnostic>,
    total_bytes: u64,
    seen: BTreeSet<Utf8PathBuf>,
    stdin_read: bool,
}

impl Reader {
    fn path(&mut self, path: &Utf8Path) {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.folder(path),
            Ok(_) => self.file(path),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn folder(&mut self, folder: &Utf8Path) {
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, &error),
        };
        let mut files = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name();
                    let is_yaml = matches!(Utf8Path::new(name).extension(), Some("yml" | "yaml"));
                    if is_yaml && !name.starts_with('.') {
                        files.push(entry.path().to_owned());
                    }
                }
                Err(error) => self.unreadable(folder, &error),
            }
        }
        if files.is_empty() {
            self.problems.push(
                Diagnostic::new("no-inventory", format!("{folder} holds no inventory"))
                    .help("files of an inventory end in .yml or .yaml"),
            );
        }
        files.sort();
        for file in files {
            if file.is_dir() {
                continue;
            }
            self.file(&file);
        }
    }

    fn file(&mut self, path: &Utf8Path) {
        let identity = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(identity) {
            self.problems.push(Diagnostic::new("file-twice", format!("{path} is named twice")));
            return;
        }
        let bytes = std::fs::File::open(path).and_then(bounded);
        match bytes {
            Ok(bytes) => self.add(path.to_string(), bytes, path.parent().unwrap_or(Utf8Path::new(""))),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn stdin(&mut self) {
        if self.stdin_read {
            self.problems.push(Diagnostic::new("file-twice", "standard input (`-`) is named twice"));
            return;
        }
        self.stdin_read = true;
        match bounded(std::io::stdin().lock()) {
            Ok(bytes) => self.add("<stdin>".to_owned(), bytes, Utf8Path::new("")),
            Err(error) => self.unreadable(Utf8Path::new("standard input"), &error),
        }
    }

    fn unreadable(&mut self, path: &Utf8Path, error: &std::io::Error) {
        let problem = Diagnostic::new("unreadable", format!("cannot read {path}: {error}"));
        self.problems.push(if error.kind() == std::io::ErrorKind::NotFound {
            problem.help("`hactl init` writes an inventory; -i names another one")
        } else {
            problem
        });
    }

    fn add(&mut self, name: String, bytes: Vec<u8>, base: &Utf8Path) {
        let size = bytes.len() as u64;
        self.total_bytes = self.total_bytes.saturating_add(size);
        let too_large = |what: &str, limit: u64| {
            Diagnostic::new("too-large", format!("{name}: {what} larger than {limit} bytes"))
                .help("an inventory is written by people; is this another file?")
        };
        if size > MAX_FILE_BYTES {
            self.problems.push(too_large("it is", MAX_FILE_BYTES));
            return;
        }
        if self.total_bytes > MAX_TOTAL_BYTES {
            self.problems.push(too_large("with it the inventory is", MAX_TOTAL_BYTES));
            return;
        }
        if self.sources.texts.len() >= MAX_FILES {
            self.problems.push(Diagnostic::new("too-large", format!("{name}: more than {MAX_FILES} files")));
            return;
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                self.problems.push(
                    Diagnostic::new("not-utf8", format!("{name}: line {line} is not UTF-8 (byte {at})"))
                        .help("save the file as UTF-8"),
                );
                return;
            }
        };
        let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
        self.sources.add(SourceText { name, text, base: absolute(base) });
    }
}

/// At most one byte more than a file may have, so that a larger one is noticed without being read whole.
fn bounded(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The folder as an absolute path; as it is when the current folder is unknown.
fn absolute(folder: &Utf8Path) -> Utf8PathBuf {
    let folder = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
    camino::absolute_utf8(folder).unwrap_or_else(|_| folder.to_owned())
}
