//! Scores, and rules: when a location or a set of values holds.

use std::fmt;
use std::str::FromStr;

use crate::cib::xml::Element;

/// Pacemaker's infinity (`PCMK_SCORE_INFINITY`).
const INFINITY: i32 = 1_000_000;

/// How much something is wanted: from -INFINITY (never) to INFINITY (always).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(i32);

impl Score {
    /// Always.
    pub const INFINITY: Self = Self(INFINITY);
    /// Never.
    pub const NEG_INFINITY: Self = Self(-INFINITY);

    /// A score; anything of a million and beyond is infinite.
    #[must_use]
    pub fn new(score: i32) -> Self {
        Self(score.clamp(-INFINITY, INFINITY))
    }
}

/// A text that is no score.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no score: write a whole number, INFINITY or -INFINITY")]
pub struct ScoreError(pub String);

impl FromStr for Score {
    type Err = ScoreError;
    fn from_str(text: &str) -> Result<Self, ScoreError> {
        let (negative, word) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if matches!(word.to_ascii_lowercase().as_str(), "infinity" | "inf") {
            return Ok(if negative { Self::NEG_INFINITY } else { Self::INFINITY });
        }
        text.parse().map(Self::new).map_err(|_| ScoreError(text.to_owned()))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            INFINITY => f.pad("INFINITY"),
            score if score == -INFINITY => f.pad("-INFINITY"),
            score => score.fmt(f),
        }
    }
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A node attribute compared with a value.
    Attribute {
        /// The attribute, such as `#uname` or `pingd`.
        attribute: String,
        /// `lt`, `gt`, `lte`, `gte`, `eq`, `ne`.
        operation: String,
        /// The value.
        value: String,
        /// How to compare: `string`, `integer`, `number`, `version`.
        kind: Option<String>,
    },
    /// Whether a node has the attribute.
    Defined {
        /// The attribute.
        attribute: String,
        /// Whether it is to be there.
        defined: bool,
    },
    /// A span of time, ISO 8601; one end may be open.
    InRange {
        /// From.
        start: Option<String>,
        /// To.
        end: Option<String>,
    },
    /// Hours, weekdays and the like: attribute and value of a `<date_spec>`.
    DateSpec(Vec<(String, String)>),
    /// Any other condition (`rsc_expression`, `op_expression`, a nested rule), given its id here.
    Raw(Element),
}

/// A rule: conditions joined by `and` or `or`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is worth in a location constraint.
    pub score: Option<Score>,
    /// The role it is about (`Promoted`).
    pub role: Option<String>,
    /// Whether one condition is enough.
    pub any: bool,
    /// The conditions.
    pub expressions: Vec<Expression>,
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `and` and `or` in one rule.
    #[error("`and` and `or` cannot be mixed in one rule: `{0}`")]
    Mixed(String),
    /// A condition that is not understood.
    #[error(
        "`{0}` is no condition: write `defined ATTR`, `not_defined ATTR`, or `ATTR [type:]OP VALUE` with OP one of lt, \
         gt, lte, gte, eq, ne and type one of string, integer, number, version"
    )]
    Condition(String),
}

impl Rule {
    /// Reads conditions as crmsh writes them: `not_defined pingd or pingd number:lte 0`, `#uname eq ctl1`.
    ///
    /// # Errors
    /// Says which part is not understood.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let any = words.contains(&"or");
        if any && words.contains(&"and") {
            return Err(RuleError::Mixed(text.to_owned()));
        }
        let conditions = words.split(|word| matches!(*word, "or" | "and"));
        let expressions = conditions.map(condition).collect::<Result<_, _>>()?;
        Ok(Self { score: None, role: None, any, expressions })
    }

    /// The same rule with a score.
    #[must_use]
    pub const fn score(mut self, score: Score) -> Self {
        self.score = Some(score);
        self
    }

    /// The same rule for one role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// The `<rule>` inside the object or set `owner`.
    #[must_use]
    pub fn build(&self, owner: &str) -> Element {
        let id = format!("{owner}-rule");
        let mut rule = Element::new("rule").with("id", &id);
        if let Some(role) = &self.role {
            rule.set("role", role);
        }
        if let Some(score) = self.score {
            rule.set("score", score.to_string());
        }
        if self.expressions.len() > 1 {
            rule.set("boolean-op", if self.any { "or" } else { "and" });
        }
        let parts = self.expressions.iter().enumerate().map(|(index, expression)| {
            let suffix = if index == 0 { String::new() } else { format!("-{}", index - 1) };
            expression.build(&format!("{id}-expression{suffix}"))
        });
        rule.with_children(parts)
    }
}

impl Expression {
    fn build(&self, id: &str) -> Element {
        match self {
            Self::Attribute { attribute, operation, value, kind } => {
                let mut element = Element::new("expression").with("id", id).with("attribute", attribute);
                element.set("operation", operation);
                element.set("value", value);
                if let Some(kind) = kind {
                    element.set("type", kind);
                }
                element
            }
            Self::Defined { attribute, defined } => Element::new("expression")
                .with("id", id)
                .with("attribute", attribute)
                .with("operation", if *defined { "defined" } else { "not_defined" }),
            Self::InRange { start, end } => {
                let operation = match (start, end) {
                    (Some(_), None) => "gt",
                    (None, Some(_)) => "lt",
                    _ => "in_range",
                };
                let mut element = Element::new("date_expression").with("id", id).with("operation", operation);
                for (name, value) in [("start", start), ("end", end)] {
                    if let Some(value) = value {
                        element.set(name, value);
                    }
                }
                element
            }
            Self::DateSpec(parts) => {
                let spec = Element::new("date_spec").with("id", format!("{id}-date_spec"));
                let spec = parts.iter().fold(spec, |spec, (name, value)| spec.with(name, value));
                Element::new("date_expression").with("id", id).with("operation", "date_spec").with_child(spec)
            }
            Self::Raw(element) => element.clone().with("id", id),
        }
    }
}

fn condition(words: &[&str]) -> Result<Expression, RuleError> {
    let fail = || RuleError::Condition(words.join(" "));
    match words {
        [word @ ("defined" | "not_defined"), attribute] => {
            Ok(Expression::Defined { attribute: (*attribute).to_owned(), defined: *word == "defined" })
        }
        [attribute, operation, value] => {
            let (kind, operation) = match operation.split_once(':') {
                Some((kind, operation)) => (Some(kind), operation),
                None => (None, *operation),
            };
            let known = matches!(operation, "lt" | "gt" | "lte" | "gte" | "eq" | "ne")
                && kind.is_none_or(|kind| matches!(kind, "string" | "integer" | "number" | "version"));
            if !known {
                return Err(fail());
            }
            Ok(Expression::Attribute {
                attribute: (*attribute).to_owned(),
                operation: operation.to_owned(),
                value: (*value).to_owned(),
                kind: kind.map(str::to_owned),
            })
        }
        _ => Err(fail()),
    }
}
