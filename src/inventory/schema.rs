//! The JSON Schema of inventory files, for editors and other programs.
//!
//! In: the decoder's own tables of keys. Out: a schema (draft 2020-12). It describes one file, and files are merged:
//! so what may stand in another file is never required.

use serde_json::{Map, Value as Json, json};

use super::decode::fields::{self, Field};
use super::secret::{MAX_GENERATED_BYTES, MIN_GENERATED_BYTES};
use super::value::{MAX_HOST_NAME_BYTES, MAX_RESOURCE_ID_BYTES};
use crate::names::MAX_NAME_BYTES;

/// The schema.
#[must_use]
pub fn schema() -> Json {
    let mut root = object(&[fields::INVENTORY]);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "hactl inventory".into();
    root["description"] =
        "Clusters, their nodes and what runs on them. Files are merged; this describes one.".into();
    root["patternProperties"] = json!({ "^x-": true });
    root["$defs"] = definitions();
    root
}

/// A mapping that has these keys and no others.
fn object(tables: &[&[Field]]) -> Json {
    let mut properties = Map::new();
    for field in tables.iter().flat_map(|table| table.iter()) {
        let mut schema = (field.schema)();
        schema["description"] = field.doc.into();
        properties.insert(field.name.to_owned(), schema);
    }
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties })
}

/// The same, when exactly one of these keys must be there.
fn one_of(mut schema: Json, kinds: &[Field]) -> Json {
    schema["type"] = "object".into();
    schema["oneOf"] = kinds.iter().map(|field| json!({ "required": [field.name] })).collect();
    schema
}

/// A text that is not one of the other forms because a variable will be filled in.
fn or_variable(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}

fn definitions() -> Json {
    let mut definitions = structures();
    definitions.extend(scalars());
    definitions.extend(pacemaker_terms());
    definitions.extend(settings());
    Json::Object(definitions)
}

fn structures() -> Map<String, Json> {
    let mut out = Map::new();
    let mut define = |name: &str, schema: Json| drop(out.insert(name.to_owned(), schema));
    define("cluster", object(&[fields::CLUSTER]));
    define("node", object(&[fields::NODE]));
    define("ssh", object(&[fields::SSH]));
    define("claim_policy", object(&[fields::CLAIM_POLICY]));
    let mut claim = object(&[fields::CLAIM]);
    claim["type"] = "object".into();
    claim["minProperties"] = 1.into();
    define("claim", json!({ "anyOf": [{ "$ref": "#/$defs/text" }, claim] }));
    define("resource", one_of(object(&[fields::RESOURCE_KINDS, fields::RESOURCE]), fields::RESOURCE_KINDS));
    let mut operation = object(&[fields::OPERATION]);
    operation["patternProperties"] = json!({ "^[A-Z][A-Z0-9_]*$": { "$ref": "#/$defs/setting" } });
    define("operation", operation);
    let every_constraint: &[&[Field]] =
        &[fields::CONSTRAINT_KINDS, fields::CONSTRAINT, fields::LOCATION, fields::ORDER, fields::COLOCATION];
    let mut constraint = one_of(object(every_constraint), fields::CONSTRAINT_KINDS);
    constraint["dependentSchemas"] = json!({
        "location": only(&[fields::CONSTRAINT_KINDS, fields::CONSTRAINT, fields::LOCATION]),
        "order": only(&[fields::CONSTRAINT_KINDS, fields::CONSTRAINT, fields::ORDER]),
        "colocation": only(&[fields::CONSTRAINT_KINDS, fields::CONSTRAINT, fields::COLOCATION]),
    });
    define("constraint", constraint);
    let mut set = object(&[fields::RESOURCE_SET]);
    set["type"] = "object".into();
    set["required"] = json!(["resources"]);
    define("resource_set", set);
    let mut expression = object(&[fields::RULE_EXPRESSION]);
    expression["type"] = "object".into();
    expression["required"] = json!(["attribute", "operation"]);
    let rules = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/rule" } });
    let several = |key: &str| json!({ "type": "object", "required": [key], "additionalProperties": false, "properties": { key: rules } });
    define("rule", json!({ "anyOf": [{ "type": "string" }, several("any"), several("all"), expression] }));
    out
}

/// These keys and no others, whatever stands under them.
fn only(tables: &[&[Field]]) -> Json {
    let names =
        tables.iter().flat_map(|table| table.iter()).map(|field| (field.name.to_owned(), Json::Bool(true)));
    json!({ "properties": names.collect::<Map<_, _>>(), "additionalProperties": false })
}

fn scalars() -> Map<String, Json> {
    let mut out = Map::new();
    let mut define = |name: &str, schema: Json| drop(out.insert(name.to_owned(), schema));
    let id = "^[A-Za-z_][A-Za-z0-9._-]*$";
    let duration = "^\\s*[0-9]+ *(ms|msec|s|sec|m|min|h|hr|d)?$";
    let size = "[0-9]+ *(B|[kK]B|[MGTP]B|[KMGTP]iB)";
    define("text", json!({ "type": ["string", "number"] }));
    define("name", or_variable(json!({ "type": ["string", "integer"], "maxLength": MAX_NAME_BYTES })));
    define("id", or_variable(json!({ "type": "string", "pattern": id, "maxLength": MAX_RESOURCE_ID_BYTES })));
    define("boolean", or_variable(json!({ "type": "boolean" })));
    define("integer", or_variable(json!({ "type": "integer", "minimum": 0 })));
    define("port", or_variable(json!({ "type": "integer", "minimum": 1, "maximum": 65535 })));
    define("address", json!({ "type": "string", "minLength": 1, "maxLength": MAX_HOST_NAME_BYTES }));
    define("ip", or_variable(json!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]+$" })));
    define(
        "duration",
        or_variable(json!({ "anyOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": duration },
    ] })),
    );
    define("size", or_variable(json!({ "type": "string", "pattern": format!("^{size}$") })));
    define(
        "size_match",
        or_variable(json!({ "type": "string", "pattern": format!("^(>=|<=|>|<|=)? *{size}$") })),
    );
    out
}

fn pacemaker_terms() -> Map<String, Json> {
    let mut out = Map::new();
    let mut define = |name: &str, schema: Json| drop(out.insert(name.to_owned(), schema));
    define(
        "score",
        or_variable(json!({ "anyOf": [
        { "type": "integer", "minimum": -1_000_000, "maximum": 1_000_000 },
        { "type": "string", "pattern": "^([+-]?INFINITY|[+-]?[0-9]+)$" },
    ] })),
    );
    define("role", json!({ "enum": ["Started", "Stopped", "Promoted", "Unpromoted", "Master", "Slave"] }));
    define("order_action", json!({ "enum": ["start", "stop", "promote", "demote"] }));
    define(
        "agent",
        or_variable(json!({
            "type": "string",
            "pattern": "^(ocf:[^:@]+:[^:]+|(systemd|service|lsb|stonith):[^:]+)$",
        })),
    );
    define(
        "agent_or_template",
        or_variable(json!({
            "type": "string",
            "pattern": "^(ocf:[^:@]+:[^:]+|(systemd|service|lsb|stonith):[^:]+|@.+)$",
        })),
    );
    out
}

fn settings() -> Map<String, Json> {
    let mut out = Map::new();
    let mut define = |name: &str, schema: Json| drop(out.insert(name.to_owned(), schema));
    define(
        "setting",
        json!({
            "description": "Text as written, or where a secret comes from.",
            "anyOf": [{ "type": ["string", "number", "boolean"] }, { "$ref": "#/$defs/secret" }],
        }),
    );
    define(
        "secret",
        json!({
            "description": "Where a secret comes from; never the secret itself.",
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "env": { "type": "string", "description": "Environment variable of the machine that runs hactl." },
                "file": { "type": "string", "description": "File there, relative to this one." },
                "command": {
                    "type": "array", "minItems": 1, "items": { "type": ["string", "number"] },
                    "description": "Program there that prints it, with its arguments.",
                },
                "age": { "type": "string", "description": "File encrypted with age, relative to this one." },
                "generated": {
                    "description": "Made on first use and kept on the nodes only; how many random bytes.",
                    "anyOf": [
                        { "const": true },
                        { "type": "integer", "minimum": MIN_GENERATED_BYTES, "maximum": MAX_GENERATED_BYTES },
                    ],
                },
            },
        }),
    );
    out
}
