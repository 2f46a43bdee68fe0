//! `schema.yml`: which attributes a barclamp has.
//!
//! In: the file, once; then attributes as the inventory has them. Out: attributes that are valid, have their
//! defaults, and hold a marker wherever a secret belongs; or every mistake with its JSON pointer.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{AttributeError, BarclampError};
use super::explain::explain;
use super::family::laid_over;
use super::folder::Folder;
use super::migration::Migration;
use crate::inventory::SecretRef;
use crate::secrets;

/// The schema's file.
pub(super) const SCHEMA_FILE: &str = "schema.yml";
/// The attribute that says for which version of the schema the others were written.
pub(super) const VERSION_KEY: &str = "schema";
/// How deep schemas and attributes may nest; also ends `$ref` that lead in circles.
const MAX_DEPTH: usize = 32;

/// Keywords of JSON Schema that describe a value.
const KEYWORDS: &[&str] = &[
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "dependentRequired",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "local_file",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "secret",
    "title",
    "type",
    "uniqueItems",
    "$ref",
    "$defs",
];
/// Keywords whose schemas judge the same value once more: a default or a secret in them would have no place.
const ALTERNATIVES: &[&str] = &["allOf", "anyOf", "oneOf", "not"];

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaFile {
    version: u32,
    attributes: Value,
    #[serde(default)]
    migrations: Vec<Migration>,
}

/// A schema, checked and compiled.
#[derive(Debug)]
pub struct Schema {
    /// Its version.
    pub version: u32,
    /// The schema as it is written, for `hactl barclamp show`.
    pub attributes: Value,
    migrations: Vec<Migration>,
    validator: jsonschema::Validator,
}

/// Attributes that are ready for rendering.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributes {
    /// The attributes, with defaults, secrets as markers.
    pub value: Value,
    /// The secrets that the markers stand for.
    pub secrets: Vec<SecretUse>,
}

/// A place that refers to a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// The name in the marker: the place.
    pub name: String,
    /// Where the secret comes from.
    pub reference: SecretRef,
}

/// Whether a place holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// It does not.
    Open,
    /// It may be written as a reference to one.
    Allowed,
    /// It must be.
    Required,
}

impl Schema {
    /// Reads and compiles the schema of a folder. Without the file, the barclamp has no attributes.
    ///
    /// # Errors
    /// The file is wrong, or uses a keyword that has no meaning here.
    pub fn load(folder: &Folder) -> Result<Self, BarclampError> {
        Self::load_over(folder, None)
    }

    /// The same, laid over the schema of the family that the barclamp extends.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(super) fn load_over(folder: &Folder, family: Option<&Folder>) -> Result<Self, BarclampError> {
        let mut file: SchemaFile = if folder.text(SCHEMA_FILE).is_some() {
            folder.yaml(SCHEMA_FILE)?
        } else {
            SchemaFile {
                version: 1,
                attributes: serde_json::json!({ "type": "object" }),
                migrations: Vec::new(),
            }
        };
        if let Some(family) = family.filter(|family| family.text(SCHEMA_FILE).is_some()) {
            let base: SchemaFile = family.yaml(SCHEMA_FILE)?;
            file.attributes = laid_over(&base.attributes, &file.attributes);
            file.migrations.splice(0..0, base.migrations);
        }
        let error = |message: String| folder.error(SCHEMA_FILE, None, message);
        if file.attributes.get("type").and_then(Value::as_str) != Some("object") {
            return Err(error("`attributes` must describe an object: `type: object`".to_owned()));
        }
        if let Some(migration) = file.migrations.iter().find(|migration| migration.from >= file.version) {
            return Err(error(format!(
                "there is a migration from version {}, but this is {}",
                migration.from, file.version
            )));
        }
        let mut strict = file.attributes.clone();
        prepare(&mut strict, "/attributes", 0, false).map_err(&error)?;
        let properties = strict.get_mut("properties").and_then(Value::as_object_mut);
        if properties.is_some_and(|properties| properties.contains_key(VERSION_KEY)) {
            return Err(error(format!("the attribute `{VERSION_KEY}` is reserved for the schema's version")));
        }
        let validator = jsonschema::validator_for(&strict).map_err(|problem| error(format!("{problem}")))?;
        let schema = Self {
            version: file.version,
            attributes: file.attributes,
            migrations: file.migrations,
            validator,
        };
        schema.check_defaults().map_err(error)?;
        Ok(schema)
    }

    /// Every default must be accepted by its own schema.
    fn check_defaults(&self) -> Result<(), String> {
        let mut value = Value::Object(Map::new());
        self.fill(&self.attributes, &mut value, 0);
        let mistakes = self
            .validator
            .iter_errors(&value)
            .filter(|error| !matches!(error.kind(), jsonschema::error::ValidationErrorKind::Required { .. }));
        match mistakes.into_iter().next() {
            None => Ok(()),
            Some(error) => Err(format!("the default of {} is not valid: {error}", error.instance_path())),
        }
    }

    /// Attributes ready for rendering. `place` is where they stand in the inventory (a JSON pointer): markers of
    /// secrets are named after it.
    ///
    /// # Errors
    /// All mistakes, in the order of their places.
    pub fn resolve(&self, attributes: &Value, place: &str) -> Result<Attributes, Vec<AttributeError>> {
        let mut value = match attributes {
            Value::Null => Value::Object(Map::new()),
            other => other.clone(),
        };
        let mut mistakes = Vec::new();
        self.upgrade(&mut value, &mut mistakes);
        self.fill(&self.attributes, &mut value, 0);
        let mut secrets = Vec::new();
        let mut walk = SecretWalk { schema: self, place, secrets: &mut secrets, mistakes: &mut mistakes };
        walk.visit(&self.attributes, &mut value, "", 0);
        // A secret that is written out, or a reference where none belongs, would be reported a second time.
        let refused: BTreeSet<String> = mistakes.iter().map(|mistake| mistake.pointer.clone()).collect();
        for error in self.validator.iter_errors(&value) {
            if !refused.contains(error.instance_path().as_str()) {
                explain(self, &error, &mut mistakes);
            }
        }
        mistakes.sort();
        mistakes.dedup();
        if mistakes.is_empty() { Ok(Attributes { value, secrets }) } else { Err(mistakes) }
    }

    /// Brings attributes that were written for an older version of the schema up to this one.
    fn upgrade(&self, value: &mut Value, mistakes: &mut Vec<AttributeError>) {
        let Some(written_for) = value.as_object_mut().and_then(|object| object.shift_remove(VERSION_KEY))
        else {
            return;
        };
        let pointer = format!("/{VERSION_KEY}");
        match written_for.as_u64().and_then(|version| u32::try_from(version).ok()) {
            Some(version) if version >= 1 && version <= self.version => {
                let mut steps: Vec<&Migration> =
                    self.migrations.iter().filter(|step| step.from >= version).collect();
                steps.sort_by_key(|step| step.from);
                for step in steps {
                    step.apply(value, mistakes);
                }
            }
            Some(version) => {
                let message = format!(
                    "these attributes are for version {version} of the schema; this hactl knows {}",
                    self.version
                );
                mistakes.push(AttributeError::new("bad-value", pointer, message).help("use a newer hactl"));
            }
            None => mistakes.push(AttributeError::new(
                "bad-value",
                pointer,
                "the schema's version must be a whole number",
            )),
        }
    }

    /// The places (JSON pointers) of valid attributes that name a file of the machine that runs hactl, with the names.
    pub(super) fn local_files(&self, attributes: &Value) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.find_local(&self.attributes, attributes, "", 0, &mut found);
        found
    }

    fn find_local(
        &self,
        schema: &Value,
        value: &Value,
        pointer: &str,
        depth: usize,
        found: &mut Vec<(String, String)>,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::String(name) if self.keyword(schema, "local_file").is_some() => {
                found.push((pointer.to_owned(), name.clone()));
            }
            Value::Object(object) => {
                for (key, value) in object {
                    if let Some(schema) = self.property(schema, key) {
                        self.find_local(
                            schema,
                            value,
                            &format!("{pointer}/{}", escape(key)),
                            depth + 1,
                            found,
                        );
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = self.target(schema).get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.find_local(schema, item, &format!("{pointer}/{index}"), depth + 1, found);
                }
            }
            _ => {}
        }
    }

    /// The migrations, oldest first.
    pub(super) fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The schema that a `$ref` leads to; the schema itself without one.
    pub(super) fn target<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        for _ in 0..MAX_DEPTH {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
            match reference.strip_prefix('#').and_then(|pointer| self.attributes.pointer(pointer)) {
                Some(target) => schema = target,
                None => return schema,
            }
        }
        schema
    }

    /// The schema of what stands under a key.
    pub(super) fn property<'s>(&'s self, schema: &'s Value, key: &str) -> Option<&'s Value> {
        let schema = self.target(schema);
        let named = schema.get("properties").and_then(|properties| properties.get(key));
        named.or_else(|| schema.get("additionalProperties").filter(|other| other.is_object()))
    }

    /// A keyword of a schema; what stands beside a `$ref` counts more than what stands behind it.
    pub(super) fn keyword<'s>(&'s self, schema: &'s Value, keyword: &str) -> Option<&'s Value> {
        schema.get(keyword).or_else(|| self.target(schema).get(keyword))
    }

    /// The schema of the value at a JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        let mut schema = &self.attributes;
        for key in pointer.split('/').skip(1) {
            let key = key.replace("~1", "/").replace("~0", "~");
            let schema_here = self.target(schema);
            schema = match self.property(schema_here, &key) {
                Some(schema) => schema,
                None => schema_here.get("items")?,
            };
        }
        Some(schema)
    }

    /// Adds the defaults of everything that is not there.
    fn fill(&self, schema: &Value, value: &mut Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let schema = self.target(schema);
        match value {
            Value::Object(object) => {
                for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
                {
                    let default = self.keyword(schema, "default");
                    if let (false, Some(default)) = (object.contains_key(key), default) {
                        object.insert(key.clone(), default.clone());
                    }
                }
                for (key, value) in object.iter_mut() {
                    if let Some(schema) = self.property(schema, key) {
                        self.fill(schema, value, depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    items.iter_mut().for_each(|item| self.fill(schema, item, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Puts markers where secrets belong.
struct SecretWalk<'a> {
    schema: &'a Schema,
    place: &'a str,
    secrets: &'a mut Vec<SecretUse>,
    mistakes: &'a mut Vec<AttributeError>,
}

impl SecretWalk<'_> {
    fn visit(&mut self, schema: &Value, value: &mut Value, pointer: &str, depth: usize) {
        if depth > MAX_DEPTH {
            let message = format!("attributes are nested deeper than {MAX_DEPTH}");
            self.mistakes.push(AttributeError::new("bad-value", pointer, message));
            return;
        }
        let schema = self.schema.target(schema);
        if let Value::String(text) = value
            && secrets::has_marker(text)
        {
            self.mistakes.push(AttributeError::new(
                "bad-value",
                pointer,
                "the text has a character that cannot be used",
            ));
            return;
        }
        let secrecy = secrecy(schema);
        if secrecy != Secrecy::Open {
            if let Some(reference) = SecretRef::from_json(value) {
                let name = format!("{}{pointer}", self.place);
                *value = Value::String(secrets::marker(&name));
                self.secrets.push(SecretUse { name, reference });
            } else if secrecy == Secrecy::Required || value.is_object() {
                let message = if value.is_object() {
                    "this is not a reference to a secret"
                } else {
                    "a secret must not be written here"
                };
                let help = "write where it comes from: `{ env: NAME }`, `{ file: PATH }` or `{ command: [PROGRAM, ARG] }`";
                self.mistakes.push(AttributeError::new("secret", pointer, message).help(help));
            }
            return;
        }
        match value {
            Value::Object(object) => {
                for (key, value) in object.iter_mut() {
                    if let Some(schema) = self.schema.property(schema, key) {
                        self.visit(schema, value, &format!("{pointer}/{}", escape(key)), depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    self.visit(schema, item, &format!("{pointer}/{index}"), depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// A key as part of a JSON pointer (RFC 6901).
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn secrecy(schema: &Value) -> Secrecy {
    match schema.get("secret") {
        Some(Value::Bool(true)) => Secrecy::Required,
        Some(Value::String(_)) => Secrecy::Allowed,
        _ => Secrecy::Open,
    }
}

/// Checks the keywords of a schema, forbids keys that it does not name, and takes out what the validator does not know.
fn prepare(schema: &mut Value, at: &str, depth: usize, alternative: bool) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("{at}: schemas are nested deeper than {MAX_DEPTH}"));
    }
    let object = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(object) => object,
        _ => return Err(format!("{at}: a schema is a mapping")),
    };
    for (key, value) in object.iter() {
        if !KEYWORDS.contains(&key.as_str()) {
            let close = crate::inventory::closest(key, KEYWORDS.iter().copied());
            let help = close.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default();
            return Err(format!("{at}: `{key}` is not a keyword{help}"));
        }
        if alternative && matches!(key.as_str(), "default" | "local_file" | "secret") {
            return Err(format!("{at}: `{key}` has no effect inside of {}", ALTERNATIVES.join(", ")));
        }
        if key == "secret" && !(value == &Value::Bool(true) || value == "allowed") {
            return Err(format!("{at}: `secret` is `true` or `allowed`"));
        }
    }
    if object.get("local_file").is_some_and(|value| value != &Value::Bool(true)) {
        return Err(format!("{at}: `local_file` is `true`"));
    }
    object.shift_remove("local_file");
    object.shift_remove("secret");
    if object.contains_key("properties") && !object.contains_key("additionalProperties") && !alternative {
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (key, value) in object.iter_mut() {
        let at = format!("{at}/{key}");
        match (key.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => {
                for (name, schema) in schemas.iter_mut() {
                    prepare(schema, &format!("{at}/{name}"), depth + 1, alternative)?;
                }
            }
            ("items" | "additionalProperties" | "propertyNames", schema) => {
                prepare(schema, &at, depth + 1, alternative)?
            }
            ("not", schema) => prepare(schema, &at, depth + 1, true)?,
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                for schema in schemas {
                    prepare(schema, &at, depth + 1, true)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
