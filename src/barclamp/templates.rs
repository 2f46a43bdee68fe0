//! Templates: Tera, with the rules of this program.
//!
//! In: a barclamp's templates and the expressions in its declarations, all compiled when it is loaded; then a
//! context. Out: text, or the template and line at fault. A value that is not there is an error, never an empty text.
//! Texts are escaped in `*.xml.tera` only.

use std::collections::BTreeSet;

use serde_json::Value;
use tera::{Context, ErrorKind, Kwargs, State, Tera};

use super::error::BarclampError;
use super::folder::Folder;
use super::item::RESOURCES_FILE;
use crate::drbd::Word;
use crate::secrets;

/// Templates of every barclamp stand below this name: `{% include "shared/banner.tera" %}`.
const SHARED: &str = "shared";
/// The folder of templates, and the suffix of each.
pub(super) const TEMPLATES_FOLDER: &str = "templates";
pub(super) const TEMPLATE_SUFFIX: &str = ".tera";
/// Templates with this suffix are XML.
const XML_SUFFIX: &str = ".xml.tera";
/// Name of an expression that stands in a declaration; the source follows.
const INLINE: &str = "inline ";
/// What `omit` is: an entry with this value is left out. A private-use character, as markers of secrets are.
pub(super) const OMIT: &str = "\u{E002}";
/// Begins an entry of data in whose place the entries of a mapping or list are put: `...item.value.services`.
const SPREAD: &str = "...";
/// Largest text that a template may make, in bytes.
const MAX_RENDERED_BYTES: usize = 4 * 1024 * 1024;

/// The compiled templates of one barclamp.
#[derive(Debug, Clone)]
pub struct Templates {
    tera: Tera,
}

/// A template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", place(template), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct RenderError {
    /// The template, or `inline` and the expression.
    pub template: String,
    /// The line in it.
    pub line: Option<usize>,
    /// What is wrong, without secrets.
    pub message: String,
}

fn place(template: &str) -> String {
    template.strip_prefix(INLINE).map_or_else(
        || format!("{TEMPLATES_FOLDER}/{template}"),
        |expression| format!("`{}`", expression.trim()),
    )
}

/// Whether a text is a template.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// An expression as a template that is not empty when it is true.
pub(super) fn condition(expression: &str) -> String {
    format!("{{% if {expression} %}}true{{% endif %}}")
}

impl Templates {
    /// Compiles the templates of a folder, those that all barclamps share, and the expressions of its declarations.
    ///
    /// # Errors
    /// One does not compile, or includes one that is not there.
    pub fn load(folder: &Folder, shared: &Folder, inline: &[(u64, String)]) -> Result<Self, BarclampError> {
        let mut tera = Tera::default();
        tera.autoescape_on([XML_SUFFIX]);
        tera.set_escape_fn(escape_xml);
        filters(&mut tera);
        let own = folder.below(TEMPLATES_FOLDER).map(|(path, text)| (path.to_string(), text.to_owned()));
        let shared = shared.files.iter().map(|(path, text)| (format!("{SHARED}/{path}"), text.clone()));
        let expressions = inline.iter().map(|(_, text)| (format!("{INLINE}{text}"), text.clone()));
        let all: Vec<(String, String)> = own.chain(shared).chain(expressions).collect();
        // Each on its own first, so that an error names the line of the declaration it stands in.
        for (line, text) in inline {
            let mut alone = Tera::default();
            filters(&mut alone);
            if let Err(error) = alone.add_raw_template(INLINE, text) {
                return Err(folder.error(
                    RESOURCES_FILE,
                    Some(*line),
                    format!("`{text}`: {}", words(&error).1),
                ));
            }
        }
        tera.add_raw_templates(all).map_err(|error| {
            let (place, message) = words(&error);
            match place {
                Some((file, line)) => {
                    let line = u64::try_from(line).ok();
                    let file = format!("{TEMPLATES_FOLDER}/{file}");
                    BarclampError::Source { location: folder.location(file, line, None), message, help: None }
                }
                None => folder.error(TEMPLATES_FOLDER, None, message),
            }
        })?;
        Ok(Self { tera })
    }

    /// Whether there is a template of this name.
    #[must_use]
    pub fn has(&self, template: &str) -> bool {
        self.tera.contains_template(&file_of(template))
    }

    /// The variables that a template wants, by their first name.
    pub(super) fn variables(&self, template: &str) -> BTreeSet<String> {
        let variables = self.tera.get_template_variables(template).unwrap_or_default();
        variables.into_iter().map(str::to_owned).collect()
    }

    /// The name under which a text of a declaration is compiled.
    pub(super) fn inline_name(text: &str) -> String {
        format!("{INLINE}{text}")
    }

    /// Renders a template by its name in declarations: `haproxy.cfg` is `templates/haproxy.cfg.tera`.
    ///
    /// # Errors
    /// Something it wants is not there or not of the right type.
    pub fn render(&self, template: &str, context: &Context) -> Result<String, RenderError> {
        self.render_named(&file_of(template), context)
    }

    /// Renders a text of a declaration; a text without template syntax is returned as it is.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_text(&self, text: &str, context: &Context) -> Result<String, RenderError> {
        if is_template(text) {
            self.render_named(&Self::inline_name(text), context)
        } else {
            Ok(text.to_owned())
        }
    }

    /// Renders a text that is no part of the barclamp but of an inventory; it sees what the barclamp's own see.
    ///
    /// # Errors
    /// As [`Self::render`]; also when it does not compile.
    pub fn render_foreign(&self, text: &str, context: &Context) -> Result<String, RenderError> {
        let rendered = self.tera.render_str(text, context, false).map_err(|error| {
            let (place, message) = words(&error);
            let template = "the template".to_owned();
            RenderError { template, line: place.map(|(_, line)| line), message: secrets::masked(&message) }
        })?;
        if rendered.len() > MAX_RENDERED_BYTES {
            let message = format!("it makes more than {MAX_RENDERED_BYTES} bytes");
            return Err(RenderError { template: "the template".to_owned(), line: None, message });
        }
        Ok(rendered)
    }

    /// Whether the condition of a declaration holds.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn holds(&self, expression: &str, context: &Context) -> Result<bool, RenderError> {
        self.render_text(&condition(expression), context).map(|text| !text.is_empty())
    }

    /// Renders the keys and texts of data; entries that come out as `omit` are left out.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_data(&self, data: &Value, context: &Context) -> Result<Value, RenderError> {
        Ok(match data {
            Value::String(text) => Value::String(self.render_text(text, context)?),
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for item in items {
                    match item.as_str().and_then(|text| text.strip_prefix(SPREAD)) {
                        Some(path) => rendered.extend(entries(&lookup(path, context)?)),
                        None => rendered.push(self.render_data(item, context)?),
                    }
                }
                rendered.retain(|item| item.as_str() != Some(OMIT));
                Value::Array(rendered)
            }
            Value::Object(object) => {
                let mut rendered = serde_json::Map::new();
                for (key, value) in object {
                    if let Some(path) = key.strip_prefix(SPREAD) {
                        if let Value::Object(more) = lookup(path, context)? {
                            rendered.extend(more);
                        }
                        continue;
                    }
                    let key = self.render_text(key, context)?;
                    let value = self.render_data(value, context)?;
                    if key != OMIT && value.as_str() != Some(OMIT) {
                        rendered.insert(key, value);
                    }
                }
                Value::Object(rendered)
            }
            plain => plain.clone(),
        })
    }

    fn render_named(&self, name: &str, context: &Context) -> Result<String, RenderError> {
        let text = self.tera.render(name, context).map_err(|error| {
            let (place, message) = words(&error);
            let (template, line) = place.map_or((name.to_owned(), None), |(file, line)| (file, Some(line)));
            let line = line.filter(|_| !template.starts_with(INLINE));
            RenderError { template, line, message: secrets::masked(&message) }
        })?;
        if text.len() > MAX_RENDERED_BYTES {
            let message = format!("it makes more than {MAX_RENDERED_BYTES} bytes");
            return Err(RenderError { template: name.to_owned(), line: None, message });
        }
        Ok(text)
    }
}

/// What is put in place of `...PATH`: the value that the dotted path leads to, nothing where it leads nowhere.
fn lookup(path: &str, context: &Context) -> Result<Value, RenderError> {
    let mut keys = path.split('.');
    let first = keys.next().and_then(|name| context.get(name));
    let value = serde_json::to_value(first).map_err(|error| RenderError {
        template: format!("{INLINE}{SPREAD}{path}"),
        line: None,
        message: error.to_string(),
    })?;
    Ok(keys.try_fold(&value, |value, key| value.get(key)).cloned().unwrap_or(Value::Null))
}

/// The entries of a list, the keys of a mapping.
fn entries(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(object) => object.keys().cloned().map(Value::String).collect(),
        _ => Vec::new(),
    }
}

/// The file of a template.
pub(super) fn file_of(template: &str) -> String {
    format!("{template}{TEMPLATE_SUFFIX}")
}

/// Place and message of an error of Tera's.
fn words(error: &tera::Error) -> (Option<(String, usize)>, String) {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            (Some((report.filename().to_owned(), report.span().start_line)), report.message().to_owned())
        }
        other => (None, other.to_string()),
    }
}

/// XML 1.0: markup, and the blanks that a parser would fold in an attribute's value.
fn escape_xml(text: &str, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'', '\n', '\r', '\t']) {
        out.write_all(&rest.as_bytes()[..at])?;
        let escaped = match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&apos;",
            b'\n' => "&#10;",
            b'\r' => "&#13;",
            _ => "&#9;",
        };
        out.write_all(escaped.as_bytes())?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest.as_bytes())
}

/// What templates may use beside Tera's own filters.
fn filters(tera: &mut Tera) {
    tera.register_filter("yes_no", |value: bool, _: Kwargs, _: &State| if value { "yes" } else { "no" });
    tera.register_filter("on_off", |value: bool, _: Kwargs, _: &State| if value { "on" } else { "off" });
    tera.register_filter("one_zero", |value: bool, _: Kwargs, _: &State| i64::from(value));
    tera.register_filter("bracketed", |value: &str, _: Kwargs, _: &State| bracketed(value));
    tera.register_filter("unit_name", |value: &str, _: Kwargs, _: &State| unit_name(value));
    tera.register_filter("drbd_word", |value: tera::Value, _: Kwargs, _: &State| drbd_word(&value));
    tera.register_filter("yaml_word", |value: tera::Value, _: Kwargs, _: &State| yaml_word(&value));
    tera.register_filter("line", |value: tera::Value, _: Kwargs, _: &State| single_line(&value));
}

/// An IPv6 address in brackets, anything else as it is.
fn bracketed(address: &str) -> String {
    if address.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{address}]") } else { address.to_owned() }
}

/// A path as systemd names a unit after it (systemd.unit(5), `STRING ESCAPING FOR INCLUSION IN UNIT NAMES`):
/// `/srv/my-data` is `srv-my\x2ddata`.
fn unit_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut name = String::new();
    for (index, byte) in parts.join("/").bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => name.push(char::from(byte)),
            other => name.push_str(&format!("\\x{other:02x}")),
        }
    }
    name
}

/// A value as `drbd.conf` has it: flags and numbers bare, everything else in quotation marks where it needs them.
fn drbd_word(value: &tera::Value) -> tera::TeraResult<String> {
    let text = single_line(value)?;
    let word = match (value.as_bool(), text.as_str()) {
        (Some(true), _) | (None, "yes") => Word::bare("yes"),
        (Some(false), _) | (None, "no") => Word::bare("no"),
        _ => Word::new(text),
    };
    word.map(|word| word.to_string()).map_err(tera::Error::message)
}

/// A value in a file of YAML: numbers and flags bare, everything else in quotation marks.
fn yaml_word(value: &tera::Value) -> tera::TeraResult<String> {
    let text = single_line(value)?;
    let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let flag = text == "true" || text == "false";
    Ok(if number || flag { text } else { serde_json::Value::String(text).to_string() })
}

/// The value, which must be a single line: nothing can be smuggled into a configuration file.
fn single_line(value: &tera::Value) -> tera::TeraResult<String> {
    let text = value.to_string();
    if text.chars().any(char::is_control) {
        return Err(tera::Error::message("the value must be a single line without control characters"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_as_systemd_escape_names_them() {
        // systemd-escape --path of each.
        for (path, name) in [
            ("/", "-"),
            ("/srv", "srv"),
            ("//srv/data/", "srv-data"),
            ("/srv/my-data", "srv-my\\x2ddata"),
            ("/.hidden/a b", "\\x2ehidden-a\\x20b"),
            ("/srv/\u{e9}", "srv-\\xc3\\xa9"),
        ] {
            assert_eq!(unit_name(path), name, "{path}");
        }
    }
    use std::collections::BTreeMap;

    fn folder(files: &[(&str, &str)]) -> Folder {
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).to_owned()));
        Folder { origin: "test".to_owned(), files: files.collect::<BTreeMap<_, _>>() }
    }

    fn render(template: &str, context: &Value) -> Result<String, RenderError> {
        let folder = folder(&[("templates/a.tera", template), ("templates/b.xml.tera", template)]);
        let templates =
            Templates::load(&folder, &Folder { origin: String::new(), files: BTreeMap::new() }, &[]).unwrap();
        templates.render("a", &Context::from_serialize(context).unwrap())
    }

    #[test]
    fn a_value_that_is_not_there_is_an_error_with_template_and_line() {
        let error = render("first\nsecond {{ x.y }}\n", &serde_json::json!({ "x": {} })).unwrap_err();
        assert_eq!((error.template.as_str(), error.line), ("a.tera", Some(2)), "{error}");
        assert!(error.to_string().starts_with("templates/a.tera:2: "), "{error}");
    }

    #[test]
    fn only_xml_is_escaped() {
        let files = [("templates/a.tera", "{{ v }}"), ("templates/b.xml.tera", "<a b=\"{{ v }}\"/>")];
        let shared = Folder { origin: String::new(), files: BTreeMap::new() };
        let templates = Templates::load(&folder(&files), &shared, &[]).unwrap();
        let context = Context::from_serialize(&serde_json::json!({ "v": "a<b&\"c\n" })).unwrap();
        assert_eq!(templates.render("a", &context).unwrap(), "a<b&\"c\n");
        assert_eq!(templates.render("b.xml", &context).unwrap(), "<a b=\"a&lt;b&amp;&quot;c&#10;\"/>");
    }

    #[test]
    fn a_broken_template_is_refused_when_it_is_loaded_with_its_line() {
        let folder = folder(&[("templates/a.tera", "ok\n{% if %}")]);
        let shared = Folder { origin: String::new(), files: BTreeMap::new() };
        let error = Templates::load(&folder, &shared, &[]).unwrap_err();
        assert!(error.to_string().starts_with("test/templates/a.tera:2"), "{error}");
    }

    #[test]
    fn a_text_with_a_line_end_does_not_pass_the_line_filter() {
        assert!(render("{{ v | line }}", &serde_json::json!({ "v": "a\nb" })).is_err());
        assert_eq!(render("{{ v | line }}", &serde_json::json!({ "v": 5 })).unwrap(), "5");
    }

    #[test]
    fn maps_keep_their_order() {
        let context = serde_json::json!({ "m": { "z": 1, "a": 2, "k": 3 } });
        assert_eq!(
            render("{% for k, v in m %}{{ k }}={{ v }} {% endfor %}", &context).unwrap(),
            "z=1 a=2 k=3 "
        );
    }
}
