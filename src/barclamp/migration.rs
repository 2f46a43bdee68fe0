//! How attributes that were written for an older schema become attributes of the next one.

use serde::Deserialize;
use serde_json::Value;

use super::error::AttributeError;

/// The step from one version of a schema to the next.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Migration {
    /// The version that the attributes were written for.
    pub(super) from: u32,
    /// Attributes that have another place now, by JSON pointer: old, then new.
    #[serde(default)]
    pub(super) rename: std::collections::BTreeMap<String, String>,
    /// Attributes that are gone, by JSON pointer, and what to do instead.
    #[serde(default)]
    pub(super) removed: std::collections::BTreeMap<String, String>,
}

impl Migration {
    /// Moves what has moved, and refuses what is gone.
    pub(super) fn apply(&self, value: &mut Value, mistakes: &mut Vec<AttributeError>) {
        for (old, new) in &self.rename {
            let Some(moved) = take(value, old) else { continue };
            if value.pointer(new).is_some() {
                let message = format!("`{old}` is now called `{new}`, and both are there");
                mistakes.push(AttributeError::new("bad-value", old.clone(), message).at_key());
            } else {
                put(value, new, moved);
            }
        }
        for (pointer, instead) in &self.removed {
            if value.pointer(pointer).is_some() {
                let message = format!("`{pointer}` is no longer there");
                mistakes.push(
                    AttributeError::new("unknown-key", pointer.clone(), message)
                        .help(instead.clone())
                        .at_key(),
                );
            }
        }
    }

    /// What became of an attribute, if this step did something to it.
    pub(super) fn fate(&self, pointer: &str) -> Option<String> {
        let renamed = self.rename.get(pointer).map(|new| format!("it is now `{new}`"));
        renamed.or_else(|| self.removed.get(pointer).cloned())
    }
}

fn take(value: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    value.pointer_mut(parent)?.as_object_mut()?.shift_remove(key)
}

fn put(value: &mut Value, pointer: &str, moved: Value) {
    let mut at = value;
    let mut keys = pointer.split('/').skip(1).peekable();
    while let Some(key) = keys.next() {
        let Some(object) = at.as_object_mut() else { return };
        if keys.peek().is_none() {
            object.insert(key.to_owned(), moved);
            return;
        }
        at = object.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
}
