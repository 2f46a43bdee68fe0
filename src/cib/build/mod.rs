//! The elements of a wanted configuration, made from names and values.
//!
//! In: what a barclamp or a user asks for, in Pacemaker's own terms. Out: elements whose ids follow from their names
//! the way crmsh makes them (`vip-instance_attributes-ip`), so that the same wish always gives the same CIB. Ids of
//! objects are the caller's; whether they can be ids is checked when the CIB is compared ([`crate::cib::diff`]).

mod constraint;
mod resource;
mod rule;
mod sets;
mod shared;

pub use constraint::{Colocation, Location, Order, OrderKind, ResourceSet, Ticket};
pub use resource::{Agent, AgentError, Bundle, CloneResource, Group, Op, Primitive, Template};
pub use rule::{Expression, Rule, RuleError, Score, ScoreError};
pub use shared::{acl_group, acl_role, acl_target, alert, fencing_level, tag};

/// The text as a part of an id: every character that an id cannot hold becomes `_`.
#[must_use]
pub fn id_part(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}
