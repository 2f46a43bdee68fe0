//! Properties of the parts, and proof against Pacemaker's own tools.

mod generate;
mod outputs;
mod ownership;
mod properties;
mod tools;
