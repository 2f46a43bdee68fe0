//! Rules: conditions on node attributes.
//!
//! In: `pingd lt 1 or not_defined pingd`, or the same as mappings. Out: a tree of conditions.

use super::decoder::Decoder;
use super::fields;
use crate::inventory::diagnostic::Diagnostic;
use crate::inventory::resources::{Rule, RuleOperation, RuleValueType};
use crate::inventory::tree::{Node, Value, quoted};

/// Most conditions of one rule: a limit of ours.
pub const MAX_RULE_CONDITIONS: usize = 100;

const OPERATIONS: &[(&str, RuleOperation)] = &[
    ("lt", RuleOperation::Lt),
    ("gt", RuleOperation::Gt),
    ("lte", RuleOperation::Lte),
    ("gte", RuleOperation::Gte),
    ("eq", RuleOperation::Eq),
    ("ne", RuleOperation::Ne),
];
const VALUE_TYPES: &[(&str, RuleValueType)] = &[
    ("string", RuleValueType::String),
    ("integer", RuleValueType::Integer),
    ("number", RuleValueType::Number),
    ("version", RuleValueType::Version),
];
const HELP: &str =
    "write for example `not_defined pingd or pingd lt 1`; comparisons are lt, gt, lte, gte, eq and ne";

/// Comparisons with or without a value: the last two only ask whether the attribute is there.
#[derive(Clone, Copy)]
enum Test {
    Compare(RuleOperation),
    Defined,
    NotDefined,
}

impl Decoder<'_> {
    /// A condition: a text, `{ any: [...] }`, `{ all: [...] }`, or one comparison as a mapping.
    pub(crate) fn rule(&mut self, node: &Node) -> Option<Rule> {
        match &node.value {
            Value::Scalar { .. } => {
                let text = self.text(node, "`rule`")?;
                match parse_rule(text) {
                    Ok(rule) => Some(rule),
                    Err(message) => {
                        self.report(Diagnostic::new("bad-value", message).at(node.blame()).help(HELP));
                        None
                    }
                }
            }
            Value::Sequence(_) => {
                self.wrong_type(
                    node,
                    "`rule`",
                    "a text or a mapping",
                    "write `{ any: [...] }` or `{ all: [...] }`",
                );
                None
            }
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] if entry.key == "any" => self.rules(&entry.value).map(Rule::Any),
                [entry] if entry.key == "all" => self.rules(&entry.value).map(Rule::All),
                _ => self.comparison(node),
            },
        }
    }

    fn rules(&mut self, node: &Node) -> Option<Vec<Rule>> {
        let items = self.items(node, "a list of conditions")?;
        if items.is_empty() || items.len() > MAX_RULE_CONDITIONS {
            let message = format!("a rule has 1 to {MAX_RULE_CONDITIONS} conditions, not {}", items.len());
            self.report(Diagnostic::new("bad-value", message).at(node.blame()));
            return None;
        }
        let rules: Vec<Option<Rule>> = items.iter().map(|item| self.rule(item)).collect();
        rules.into_iter().collect()
    }

    fn comparison(&mut self, node: &Node) -> Option<Rule> {
        let what = "a condition";
        let keys = self.fields(node, what, &[fields::RULE_EXPRESSION])?;
        let value_type = keys.get("type").and_then(|node| self.choice(node, "`type`", VALUE_TYPES));
        let (Some(attribute), Some(operation)) = (keys.get("attribute"), keys.get("operation")) else {
            let key = if keys.get("attribute").is_none() { "attribute" } else { "operation" };
            self.missing(node, what, key, HELP);
            return None;
        };
        let attribute = self.text(attribute, "`attribute`").map(str::to_owned);
        let mut tests = vec![("defined", Test::Defined), ("not_defined", Test::NotDefined)];
        tests.extend(OPERATIONS.iter().map(|(word, operation)| (*word, Test::Compare(*operation))));
        let test = self.choice(operation, "`operation`", &tests)?;
        match (test, keys.entry("value")) {
            (Test::Compare(operation), Some(value)) => {
                let value = self.text(&value.value, "`value`")?.to_owned();
                Some(Rule::Compare { attribute: attribute?, operation, value, value_type })
            }
            (Test::Compare(_), None) => {
                self.missing(node, what, "value", HELP);
                None
            }
            (Test::Defined, None) => attribute.map(Rule::Defined),
            (Test::NotDefined, None) => attribute.map(Rule::NotDefined),
            (Test::Defined | Test::NotDefined, Some(value)) => {
                let message = "`defined` and `not_defined` take no `value`";
                self.report(Diagnostic::new("unknown-key", message).at(value.key_span));
                None
            }
        }
    }
}

/// Reads `A or B and C`; `and` binds tighter.
fn parse_rule(text: &str) -> Result<Rule, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() > 4 * MAX_RULE_CONDITIONS {
        return Err(format!("this rule has more than {MAX_RULE_CONDITIONS} conditions"));
    }
    let alternatives = words.split(|word| *word == "or").map(|part| {
        let conditions: Result<Vec<Rule>, String> =
            part.split(|word| *word == "and").map(condition).collect();
        conditions.map(|conditions| single_or(conditions, Rule::All))
    });
    let alternatives: Vec<Rule> = alternatives.collect::<Result<_, String>>()?;
    Ok(single_or(alternatives, Rule::Any))
}

fn single_or(mut rules: Vec<Rule>, several: fn(Vec<Rule>) -> Rule) -> Rule {
    match rules.pop() {
        Some(only) if rules.is_empty() => only,
        last => {
            rules.extend(last);
            several(rules)
        }
    }
}

fn condition(words: &[&str]) -> Result<Rule, String> {
    match words {
        ["defined", attribute] => Ok(Rule::Defined((*attribute).to_owned())),
        ["not_defined", attribute] => Ok(Rule::NotDefined((*attribute).to_owned())),
        [attribute, operation, value] => {
            let found = OPERATIONS.iter().find(|(word, _)| word == operation);
            let (_, operation) = found.ok_or_else(|| format!("{} is not a comparison", quoted(operation)))?;
            Ok(Rule::Compare {
                attribute: (*attribute).to_owned(),
                operation: *operation,
                value: (*value).to_owned(),
                value_type: None,
            })
        }
        [] => Err("a condition is missing in this rule".to_owned()),
        other => Err(format!("{} is not a condition", quoted(&other.join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(attribute: &str, operation: RuleOperation, value: &str) -> Rule {
        Rule::Compare {
            attribute: attribute.to_owned(),
            operation,
            value: value.to_owned(),
            value_type: None,
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(
            parse_rule("not_defined pingd or pingd lt 1 and site eq a"),
            Ok(Rule::Any(vec![
                Rule::NotDefined("pingd".to_owned()),
                Rule::All(vec![
                    compare("pingd", RuleOperation::Lt, "1"),
                    compare("site", RuleOperation::Eq, "a"),
                ]),
            ]))
        );
    }

    #[test]
    fn broken_rules_say_where() {
        for (rule, message) in [
            ("pingd < 1", "`<` is not a comparison"),
            ("pingd", "`pingd` is not a condition"),
            ("pingd lt 1 or", "a condition is missing in this rule"),
        ] {
            assert_eq!(parse_rule(rule), Err(message.to_owned()), "{rule}");
        }
    }
}
