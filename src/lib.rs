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
//! Everything between [`facts`] and [`plan`] is pure; `transport`, `discovery`, `apply` and `lab`
//! are the shells that move bytes.

pub mod apply;
pub mod barclamp;
pub mod cib;
pub mod claims;
pub mod cli;
pub mod corosync;
pub mod desired;
pub mod discovery;
pub mod distro;
pub mod drbd;
pub mod engine;
pub mod facts;
pub mod inventory;
pub mod lab;
pub mod names;
pub mod parallel;
pub mod pipeline;
pub mod plan;
pub mod resource;
pub mod secrets;
pub mod transport;
pub mod ui;
pub mod verify;
