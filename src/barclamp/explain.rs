//! What the schema validator found, in words, with advice.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::error::AttributeError;
use super::migration::Migration;
use super::schema::{Schema, escape};
use crate::inventory::closest;
use crate::secrets;

/// Adds what one finding of the validator means.
pub(super) fn explain(schema: &Schema, error: &ValidationError<'_>, mistakes: &mut Vec<AttributeError>) {
    let pointer = error.instance_path().as_str().to_owned();
    let here = schema.at(&pointer);
    let described =
        here.and_then(|here| schema.keyword(here, "description")).and_then(Value::as_str).map(str::to_owned);
    let push = |mistakes: &mut Vec<AttributeError>, code, message: String| {
        let mut mistake = AttributeError::new(code, pointer.clone(), message);
        mistake.help.clone_from(&described);
        mistakes.push(mistake);
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            mistakes.extend(unexpected.iter().map(|key| unknown(schema, here, &pointer, key)));
        }
        Kind::PropertyNames { error: inner } => {
            let message = format!("a key is not allowed: {}", inner.masked());
            push(mistakes, "unknown-key", message);
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let help =
                here.and_then(|here| schema.keyword(schema.property(here, key)?, "description")?.as_str());
            let mistake = AttributeError::new("missing-key", pointer.clone(), format!("`{key}` is missing"));
            mistakes.push(help.into_iter().fold(mistake, |mistake, help| mistake.help(help)));
        }
        Kind::Type { .. } => {
            let wanted = here
                .and_then(|here| schema.keyword(here, "type"))
                .map(types)
                .unwrap_or_else(|| "something else".to_owned());
            push(
                mistakes,
                "bad-value",
                format!("this must be {wanted}, not {}", found(error.instance().as_ref())),
            );
        }
        Kind::Enum { options } => {
            let words: Vec<String> = options.as_array().into_iter().flatten().map(word).collect();
            let written = error.instance().as_str().unwrap_or_default();
            let close = closest(written, words.iter().map(String::as_str)).map(str::to_owned);
            let message = format!("{} is not one of {}", found(error.instance().as_ref()), words.join(", "));
            push(mistakes, "bad-value", message);
            if let (Some(close), Some(last)) = (close, mistakes.last_mut()) {
                last.help = Some(format!("did you mean `{close}`?"));
            }
        }
        Kind::Pattern { .. } => push(
            mistakes,
            "bad-value",
            format!("{} is not written as it must be", found(error.instance().as_ref())),
        ),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            push(
                mistakes,
                "bad-value",
                format!("{} is not what belongs here", found(error.instance().as_ref())),
            );
        }
        _ => push(mistakes, "bad-value", error.masked_with(found(error.instance().as_ref())).to_string()),
    }
}

fn unknown(schema: &Schema, here: Option<&Value>, pointer: &str, key: &str) -> AttributeError {
    let place = format!("{pointer}/{}", escape(key));
    let known: Vec<&str> = here
        .and_then(|here| schema.keyword(here, "properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let fate = schema.migrations().iter().rev().find_map(|step: &Migration| step.fate(&place));
    let help = match (fate, closest(key, known.iter().copied())) {
        (Some(fate), _) => fate,
        (None, Some(close)) => format!("did you mean `{close}`?"),
        (None, None) => format!("known are {}", known.join(", ")),
    };
    AttributeError::new("unknown-key", place, format!("`{key}` is not an attribute")).help(help).at_key()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn types(value: &Value) -> String {
    let name = |value: &Value| match value.as_str().unwrap_or_default() {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "null" => "nothing",
        _ => "something else",
    };
    match value {
        Value::Array(options) => options.iter().map(name).collect::<Vec<_>>().join(" or "),
        single => name(single).to_owned(),
    }
}

/// A value in words; secrets and long texts are not shown.
fn found(value: &Value) -> String {
    const MAX_CHARS: usize = 60;
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) if secrets::has_marker(text) => "a secret".to_owned(),
        Value::String(text) if text.chars().count() > MAX_CHARS => {
            format!("`{}…`", text.chars().take(MAX_CHARS).collect::<String>())
        }
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
