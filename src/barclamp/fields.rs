//! The attributes of a schema as a list, for people.

use serde_json::Value;

use super::schema::Schema;

/// How deep attributes are listed.
const MAX_DEPTH: usize = 8;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// How deep it is nested.
    pub depth: usize,
    /// Its name; `NAME` where any is allowed.
    pub name: String,
    /// What it is: `text`, `mapping`, or the values that it may have.
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is (or may be) a reference to a secret.
    pub secret: bool,
    /// Its default.
    pub default: Option<String>,
    /// What it means.
    pub description: Option<String>,
}

impl Schema {
    /// All attributes, each followed by those in it.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        self.collect(&self.attributes, 0, &mut fields);
        fields
    }

    fn collect(&self, schema: &Value, depth: usize, fields: &mut Vec<Field>) {
        if depth > MAX_DEPTH {
            return;
        }
        let required: Vec<&str> = self
            .keyword(schema, "required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let named = self.keyword(schema, "properties").and_then(Value::as_object).into_iter().flatten();
        let named = named.map(|(name, schema)| (name.as_str(), schema));
        let any = self
            .keyword(schema, "additionalProperties")
            .filter(|any| any.is_object())
            .map(|any| ("NAME", any));
        for (name, schema) in named.chain(any) {
            fields.push(self.field(name, schema, depth, required.contains(&name)));
            self.collect(schema, depth + 1, fields);
        }
    }

    fn field(&self, name: &str, schema: &Value, depth: usize, required: bool) -> Field {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let options = self.keyword(schema, "enum").and_then(Value::as_array);
        let kind = match (options, self.keyword(schema, "type")) {
            (Some(options), _) => options.iter().map(text).collect::<Vec<_>>().join(" | "),
            (None, Some(Value::Array(types))) => {
                types.iter().map(|it| word(&text(it))).collect::<Vec<_>>().join(" | ")
            }
            (None, Some(single)) => word(&text(single)),
            (None, None) => "anything".to_owned(),
        };
        // An empty mapping as a default only makes room for the defaults inside of it.
        let default = self
            .keyword(schema, "default")
            .filter(|default| default.as_object().is_none_or(|it| !it.is_empty()));
        Field {
            depth,
            name: name.to_owned(),
            kind,
            required,
            secret: self.keyword(schema, "secret").is_some(),
            default: default.map(text),
            description: self.keyword(schema, "description").map(text),
        }
    }
}

fn word(json_type: &str) -> String {
    match json_type {
        "object" => "mapping",
        "array" => "list",
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true | false",
        other => other,
    }
    .to_owned()
}
