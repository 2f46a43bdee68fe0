//! Settings, secrets, and attributes of barclamps.
//!
//! In: nodes. Out: settings with the text as written, references to secrets, JSON. Never lets a secret's own text in.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::decoder::Decoder;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::secret::{
    DEFAULT_GENERATED_BYTES, MAX_GENERATED_BYTES, MIN_GENERATED_BYTES, SecretRef, Setting,
};
use crate::inventory::suggest::{closest, listed};
use crate::inventory::tree::{Entry, Node, Plain, Value, is_yaml11_bool, is_yaml11_octal, quoted, resolve};

/// Keys of a reference to a secret.
const SECRET_KEYS: &[&str] = &["env", "file", "command", "age", "generated"];
const SECRET_HELP: &str = "write where it comes from: { env: NAME }, { file: PATH }, { command: [PROGRAM, ARG] }, \
                           { age: PATH } or { generated: true }";
/// Longest name of a parameter or attribute in bytes: a limit of ours.
const MAX_SETTING_NAME_BYTES: usize = 255;

impl Decoder<'_> {
    /// A reference to a secret.
    pub(crate) fn secret(&mut self, node: &Node, what: &str) -> Option<SecretRef> {
        if node.unknown {
            return None;
        }
        let Value::Mapping(entries) = &node.value else {
            let problem = match &node.value {
                Value::Scalar { .. } if !node.is_null() => {
                    Diagnostic::new("secret-in-plain-text", format!("{what} stands in the inventory itself"))
                        .at_secret(node.blame())
                }
                _ => Diagnostic::new("wrong-type", format!("{what} must be a reference to a secret"))
                    .at(node.blame()),
            };
            self.report(problem.help(SECRET_HELP));
            return None;
        };
        let [entry] = entries.as_slice() else {
            let message = format!("{what} must name exactly one place that the secret comes from");
            self.report(Diagnostic::new("wrong-type", message).at(node.blame()).help(SECRET_HELP));
            return None;
        };
        self.secret_entry(entry, what)
    }

    fn secret_entry(&mut self, entry: &Entry, what: &str) -> Option<SecretRef> {
        let (node, what) = (&entry.value, format!("`{}` of {what}", entry.key));
        match entry.key.as_str() {
            "env" => {
                let name = self.text(node, &what)?;
                if name.contains(['=', '\0']) {
                    let message = format!("{what}: {} cannot name an environment variable", quoted(name));
                    self.report(Diagnostic::new("bad-value", message).at(node.blame()));
                    return None;
                }
                Some(SecretRef::Env(name.to_owned()))
            }
            "file" => self.local_path(node, &what).map(SecretRef::File),
            "age" => self.local_path(node, &what).map(SecretRef::Age),
            "command" => {
                let items = self.items(node, &what)?;
                let words: Vec<Option<&str>> = items.iter().map(|item| self.text(item, &what)).collect();
                if words.is_empty() {
                    let message = format!("{what} names no program");
                    self.report(Diagnostic::new("bad-value", message).at(node.blame()).help(SECRET_HELP));
                    return None;
                }
                words
                    .into_iter()
                    .map(|word| word.map(str::to_owned))
                    .collect::<Option<_>>()
                    .map(SecretRef::Command)
            }
            "generated" => match &node.value {
                Value::Scalar { text, plain: true } if resolve(text) == Plain::Bool(true) => {
                    Some(SecretRef::Generated { bytes: DEFAULT_GENERATED_BYTES })
                }
                _ => {
                    let (min, max) = (MIN_GENERATED_BYTES.into(), MAX_GENERATED_BYTES.into());
                    let bytes = self.integer(node, &what, min, max)?;
                    u16::try_from(bytes).ok().map(|bytes| SecretRef::Generated { bytes })
                }
            },
            _ => {
                let help = match closest(&entry.key, SECRET_KEYS.iter().copied()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => SECRET_HELP.to_owned(),
                };
                let message = format!(
                    "{} is no place that a secret comes from: there are {}",
                    quoted(&entry.key),
                    listed(SECRET_KEYS.iter().copied())
                );
                self.report(Diagnostic::new("unknown-key", message).at(entry.key_span).help(help));
                None
            }
        }
    }

    /// The value of a parameter: text as written, or a reference to a secret.
    pub(crate) fn setting(&mut self, node: &Node, what: &str) -> Option<Setting> {
        match &node.value {
            Value::Scalar { .. } if node.is_null() => {
                self.wrong_type(
                    node,
                    what,
                    "a value",
                    "write a value after the colon, \"\" for an empty one",
                );
                None
            }
            Value::Scalar { text, .. } => Some(Setting::Text(text.clone())),
            Value::Mapping(_) => self.secret(node, what).map(Setting::Secret),
            Value::Sequence(_) => {
                self.wrong_type(
                    node,
                    what,
                    "a single value",
                    "a list for an agent is usually one text: \"a b c\"",
                );
                None
            }
        }
    }

    /// A mapping of settings. Names close to one of `known`, but not it, are refused.
    pub(crate) fn settings(&mut self, node: &Node, what: &str, known: &[&str]) -> BTreeMap<String, Setting> {
        let mut settings = BTreeMap::new();
        for entry in self.entries(node, what).unwrap_or_default() {
            if !self.setting_name(entry, what) {
                continue;
            }
            if !known.contains(&entry.key.as_str())
                && let Some(close) = closest(&entry.key, known.iter().copied())
            {
                let message = format!("{} is not known in {what}", quoted(&entry.key));
                let problem = Diagnostic::new("unknown-key", message).at(entry.key_span);
                self.report(problem.help(format!("did you mean `{close}`?")));
                continue;
            }
            if let Some(setting) = self.setting(&entry.value, &format!("`{}` of {what}", entry.key)) {
                settings.insert(entry.key.clone(), setting);
            }
        }
        settings
    }

    /// Whether a key can be the name of an attribute in the CIB.
    pub(crate) fn setting_name(&mut self, entry: &Entry, what: &str) -> bool {
        let fits = !entry.key.is_empty()
            && entry.key.len() <= MAX_SETTING_NAME_BYTES
            && !entry.key.contains(|c: char| c.is_whitespace() || c.is_control());
        if !fits {
            let message = format!("{} cannot be a name in {what}", quoted(&entry.key));
            let help = format!("write 1 to {MAX_SETTING_NAME_BYTES} characters without spaces");
            self.report(Diagnostic::new("bad-value", message).at(entry.key_span).help(help));
        }
        fits
    }

    /// A mapping of whole numbers.
    pub(crate) fn utilization(&mut self, node: &Node, what: &str) -> BTreeMap<String, i64> {
        let mut amounts = BTreeMap::new();
        for entry in self.entries(node, what).unwrap_or_default() {
            let amount_of = format!("`{}` of {what}", entry.key);
            if self.setting_name(entry, what)
                && let Some(amount) = self.integer(&entry.value, &amount_of, 0, i64::from(i32::MAX))
            {
                amounts.insert(entry.key.clone(), amount);
            }
        }
        amounts
    }

    /// Attributes of a barclamp as JSON. What YAML 1.1 and 1.2 read differently is refused: the barclamp's schema
    /// would otherwise see what the writer did not mean.
    pub(crate) fn json(&mut self, node: &Node, what: &str) -> Option<Json> {
        match &node.value {
            Value::Scalar { text, plain: false } => Some(Json::String(text.clone())),
            Value::Scalar { text, plain: true } => self.json_scalar(node, text, what),
            Value::Sequence(items) => {
                let items: Vec<Option<Json>> = items.iter().map(|item| self.json(item, what)).collect();
                items.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
            }
            Value::Mapping(entries) => {
                let mut object = Map::new();
                let mut complete = true;
                for entry in entries {
                    match self.json(&entry.value, &format!("`{}` of {what}", entry.key)) {
                        Some(value) => drop(object.insert(entry.key.clone(), value)),
                        None => complete = false,
                    }
                }
                self.resolve_secret_path(&mut object, entries);
                complete.then_some(Json::Object(object))
            }
        }
    }

    fn json_scalar(&mut self, node: &Node, text: &str, what: &str) -> Option<Json> {
        let ambiguous = if is_yaml11_bool(text) {
            let meant = matches!(text.to_ascii_lowercase().as_str(), "yes" | "on");
            Some(("a boolean in YAML 1.1 and a text", format!("write {meant}, or \"{text}\" for the word")))
        } else if is_yaml11_octal(text) {
            let help = format!("write \"{text}\" for the text, or the number without the leading zero");
            Some(("octal in YAML 1.1 and decimal", help))
        } else {
            None
        };
        if let Some((is, help)) = ambiguous {
            let message = format!("{what}: `{text}` is {is} in YAML 1.2");
            self.report(Diagnostic::new("ambiguous", message).at(node.blame()).help(help));
            return None;
        }
        Some(match resolve(text) {
            Plain::Null => Json::Null,
            Plain::Bool(value) => Json::Bool(value),
            Plain::Int(value) => Json::from(value),
            Plain::Float(value) => Json::from(value),
            Plain::Text => Json::String(text.to_owned()),
        })
    }

    /// `{ file: PATH }` and `{ age: PATH }`: the path is made independent of the file it is written in.
    fn resolve_secret_path(&self, object: &mut Map<String, Json>, entries: &[Entry]) {
        let [Entry { key, value: Node { value: Value::Scalar { text, .. }, span, .. }, .. }] = entries else {
            return;
        };
        if matches!(key.as_str(), "file" | "age")
            && let Some(path) = self.resolve_path(text, *span)
        {
            object.insert(key.clone(), Json::String(path.into_string()));
        }
    }
}
