//! hactl: one inventory becomes a running, fenced high-availability cluster.
//!
//! The modules are the stages of the pipeline, in the order in which an inventory meets them:
//!
//! ```text
//! inventory --load--> Inventory ----------------------------+
//!                                                            v
//! nodes over SSH --discover--> Facts --claims--> Claims --> desired --plan--> Plan --apply--> Outcome
//!                                ^                                              |                |
//!                                +------------- verify (re-discover, re-plan) <-+----------------+
//! ```
//!
//! Everything between [`facts`] and [`plan`] is pure; [`transport`], [`discovery`], [`apply`] and [`lab`]
//! are the shells that move bytes.

pub mod cli;
pub mod lab;
pub mod names;
pub mod transport;
