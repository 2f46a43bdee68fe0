//! Secrets as markers in text, and the one place that turns markers into bytes.
//!
//! Everything that is rendered, planned, compared, logged or saved holds a *marker* where a secret belongs. A
//! [`SecretStore`] made for one run knows the bytes; it reveals them to the executor and hides them from people.

use std::collections::BTreeMap;
use std::convert::Infallible;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Begins a marker. Private-use characters cannot occur in configuration files.
const MARKER_BEGIN: char = '\u{E000}';
/// Ends a marker.
const MARKER_END: char = '\u{E001}';
/// What people see in place of a secret.
pub const MASK: &str = "********";
/// Values shorter than this many bytes are not searched for in logs: they would mask half of every word.
const MIN_MASKED_BYTES: usize = 4;

/// A marker that names no secret of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret `{0}` is not known to this run")]
pub struct UnknownSecret(pub String);

/// The secrets of one run, by the name of the place in the inventory that refers to them.
#[derive(Debug, Clone, Default)]
pub struct SecretStore {
    values: BTreeMap<String, SecretString>,
}

/// The marker that stands for a secret in text.
#[must_use]
pub fn marker(name: &str) -> String {
    format!("{MARKER_BEGIN}{name}{MARKER_END}")
}

/// Whether a text holds a marker.
#[must_use]
pub fn has_marker(text: &str) -> bool {
    text.contains(MARKER_BEGIN)
}

/// The text with every marker replaced by what `each` makes of the secret's name. A marker that is cut off is text.
///
/// # Errors
/// The first that `each` returns.
pub fn replace_markers<E>(text: &str, mut each: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once(MARKER_BEGIN) {
        let Some((name, after)) = marked.split_once(MARKER_END) else { break };
        out.push_str(before);
        out.push_str(&each(name)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The text as people may see it: every marker masked.
#[must_use]
pub fn masked(text: &str) -> String {
    match replace_markers(text, |_| Ok::<_, Infallible>(MASK.to_owned())) {
        Ok(text) => text,
        Err(never) => match never {},
    }
}

impl SecretStore {
    /// Adds a secret under the name that markers use.
    pub fn insert(&mut self, name: impl Into<String>, value: SecretString) {
        self.values.insert(name.into(), value);
    }

    /// The value of one secret.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(ExposeSecret::expose_secret)
    }

    /// The text with every marker replaced by its secret.
    ///
    /// # Errors
    /// A marker names a secret that this run does not know.
    pub fn reveal(&self, text: &str) -> Result<Zeroizing<String>, UnknownSecret> {
        let known =
            |name: &str| self.get(name).map(str::to_owned).ok_or_else(|| UnknownSecret(name.to_owned()));
        replace_markers(text, known).map(Zeroizing::new)
    }

    /// The text with every known secret value, and every marker, masked.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut out = masked(text);
        for value in self.values.values() {
            let value = value.expose_secret();
            if value.len() >= MIN_MASKED_BYTES && out.contains(value) {
                out = out.replace(value, MASK);
            }
        }
        out
    }

    /// The secret values, for the log's own masking.
    pub fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> SecretStore {
        let mut store = SecretStore::default();
        store.insert("a.b", SecretString::from("hunter22"));
        store
    }

    #[test]
    fn reveals_what_it_marked_and_shows_nobody() {
        let text = format!("password={};", marker("a.b"));
        assert_eq!(store().reveal(&text).unwrap().as_str(), "password=hunter22;");
        assert_eq!(masked(&text), "password=********;");
        assert_eq!(store().hide("it is hunter22"), "it is ********");
    }

    #[test]
    fn refuses_a_marker_that_it_does_not_know() {
        assert_eq!(*store().reveal(&marker("x")).unwrap_err().0, *"x");
        assert_eq!(store().reveal("\u{E000}cut").unwrap().as_str(), "\u{E000}cut");
    }
}
