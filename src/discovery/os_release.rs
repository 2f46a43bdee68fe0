//! The distribution: os-release(5).

use super::probe::{Answer, Probe, ProbeError, malformed};
use crate::facts::OsRelease;

const NAME: &str = "os-release";

/// Reads `/etc/os-release`, or `/usr/lib/os-release` where there is none.
pub(super) struct OsReleaseProbe;

impl Probe for OsReleaseProbe {
    type Fact = OsRelease;

    fn name(&self) -> &'static str {
        NAME
    }

    fn command(&self) -> String {
        "if [ -e /etc/os-release ]; then cat /etc/os-release; else cat /usr/lib/os-release; fi".to_owned()
    }

    fn parse(&self, answer: &Answer) -> Result<OsRelease, ProbeError> {
        let text = answer.succeeded(NAME)?.text(NAME)?;
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| unquote(value))
                .next_back()
        };
        let id = value("ID").filter(|id| !id.is_empty()).ok_or_else(|| malformed(NAME, "there is no ID"))?;
        Ok(OsRelease {
            pretty_name: value("PRETTY_NAME").unwrap_or_else(|| id.clone()),
            id: id.to_ascii_lowercase(),
            version_id: value("VERSION_ID").unwrap_or_default(),
            id_like: value("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// The value of a shell-like assignment: quotes off, backslashes resolved.
fn unquote(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => text.extend(chars.next()),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_of_the_shell() {
        assert_eq!(unquote(r#""a \"b\" 'c'""#), r#"a "b" 'c'"#);
        assert_eq!(unquote(r"'a\b'"), r"a\b");
        assert_eq!(unquote("plain"), "plain");
    }
}
