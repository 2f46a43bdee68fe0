//! Stage 4: from inventory, facts and barclamps to the resources that are wanted. Pure.
//!
//! In: one cluster, what was seen of its nodes, the barclamps. Out: resources, each with what it requires.

mod cluster;
mod membership;
mod packages;
mod resources;
mod view;

pub use cluster::of_cluster;
pub use membership::NodeIds;
pub use resources::{Desired, resources};
pub use view::view;
