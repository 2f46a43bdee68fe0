//! Options by name, as in `net { … }`, and the five kinds of sections that hold them.

use std::collections::BTreeMap;

use super::tree::{Entry, Section, Statement};
use super::word::{Word, WordError};

/// One word of a value. `yes` and `no` without quotation marks set and clear a flag; in quotation marks they are text,
/// which drbdadm tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    text: String,
    flag: bool,
}

impl Value {
    fn of(word: &Word) -> Self {
        Self { text: word.text().to_owned(), flag: word.is("yes") || word.is("no") }
    }

    const fn text(text: String) -> Self {
        Self { text, flag: false }
    }

    fn word(&self) -> Result<Word, WordError> {
        if self.flag { Word::bare(&self.text) } else { Word::new(&self.text) }
    }
}

/// The options of one section. An option without a value is a flag that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, Vec<Value>>);

impl Options {
    /// No options.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value of an option; the words of one with several are put together with blanks.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|values| joined(values))
    }

    /// Whether a flag is set (`yes`) or cleared (`no`); `None` if neither is said.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)?.first()? {
            Value { text, flag: true } => Some(text == "yes"),
            Value { .. } => None,
        }
    }

    /// Sets an option to one value. For flags there is [`Options::set_flag`].
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), vec![Value::text(value.into())]);
    }

    /// Sets or clears a flag.
    pub fn set_flag(&mut self, name: impl Into<String>, set: bool) {
        let text = if set { "yes" } else { "no" };
        self.0.insert(name.into(), vec![Value { text: text.to_owned(), flag: true }]);
    }

    /// Takes an option away; what its value was.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|values| joined(&values))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All options with their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, values)| (name.as_str(), joined(values)))
    }

    /// These options, and those of `base` that are not among them.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let mut both = base.0.clone();
        both.extend(self.0.clone());
        Self(both)
    }

    /// Takes in the statements of a section. What else is in it is returned.
    pub(super) fn read(&mut self, section: &Section) -> Vec<Entry> {
        let mut other = Vec::new();
        for entry in &section.body {
            match entry {
                Entry::Statement(Statement { keyword, values }) => {
                    let mut values: Vec<Value> = values.iter().map(Value::of).collect();
                    if values.is_empty() {
                        values.push(Value { text: "yes".to_owned(), flag: true });
                    }
                    self.0.insert(keyword.text().to_owned(), values);
                }
                Entry::Section(_) => other.push(entry.clone()),
                Entry::Comment(_) => {}
            }
        }
        other
    }

    /// The statements.
    pub(super) fn write(&self) -> Result<Vec<Entry>, WordError> {
        let statement = |(name, values): (&String, &Vec<Value>)| {
            let values = values.iter().map(Value::word).collect::<Result<_, _>>()?;
            Ok(Entry::Statement(Statement { keyword: Word::bare(name)?, values }))
        };
        self.0.iter().map(statement).collect()
    }
}

fn joined(values: &[Value]) -> String {
    values.iter().map(|value| value.text.as_str()).collect::<Vec<_>>().join(" ")
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Options {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(options: T) -> Self {
        Self(
            options.into_iter().map(|(name, value)| (name.into(), vec![Value::text(value.into())])).collect(),
        )
    }
}

/// The options of a resource, of all resources, or of a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    /// `net`: protocol, authentication, after-split-brain policies …
    pub net: Options,
    /// `disk`: error handling, flushes, resynchronisation …
    pub disk: Options,
    /// `startup`: how long to wait for peers.
    pub startup: Options,
    /// `options`: quorum, CPUs, promotion.
    pub options: Options,
    /// `handlers`: programs to be run.
    pub handlers: Options,
}

impl Sections {
    /// These options, and those of `base` (such as `common`) that are not among them.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        Self {
            net: self.net.over(&base.net),
            disk: self.disk.over(&base.disk),
            startup: self.startup.over(&base.startup),
            options: self.options.over(&base.options),
            handlers: self.handlers.over(&base.handlers),
        }
    }

    /// Takes in a section, if it is one of these; what in it is no option is returned. `None` if it is another.
    pub(super) fn read(&mut self, section: &Section) -> Option<Vec<Entry>> {
        if section.skip || section.keyword.is_quoted() || !section.names.is_empty() {
            return None;
        }
        let options = match section.keyword.text() {
            "net" => &mut self.net,
            "disk" => &mut self.disk,
            "startup" => &mut self.startup,
            "options" => &mut self.options,
            "handlers" => &mut self.handlers,
            _ => return None,
        };
        Some(options.read(section))
    }

    pub(super) fn write(&self) -> Result<Vec<Entry>, WordError> {
        let parts = [
            ("net", &self.net),
            ("disk", &self.disk),
            ("startup", &self.startup),
            ("options", &self.options),
            ("handlers", &self.handlers),
        ];
        parts
            .into_iter()
            .filter(|(_, options)| !options.is_empty())
            .map(|(keyword, options)| Ok(Entry::Section(Section::new(keyword, Vec::new(), options.write()?))))
            .collect()
    }
}
