//! Barclamps: folders of data that teach hactl one more service.
//!
//! In: a folder (manifest, attribute schema, declarations, templates, checks), and what is known of a cluster. Out:
//! typed [`Declaration`]s, fully rendered, secrets as markers. Pure but for reading the folders.

mod agent;
mod bundle;
mod checks;
mod cib_context;
mod claim_items;
mod claims;
mod cluster_data;
mod context;
mod declaration;
mod declare;
mod error;
mod expand;
mod explain;
mod family;
mod fencing;
mod fencing_attribute;
mod fields;
mod folder;
mod golden;
mod item;
mod links;
mod manifest;
mod migration;
mod order;
mod paths;
mod registry;
mod rehearsal;
mod scaffold;
mod schema;
mod secret_names;
mod seeded;
mod templates;
#[cfg(test)]
mod tests;
mod view;
mod volumes;

pub use agent::{FenceAgent, FenceParam, FenceScope};
pub use bundle::Barclamp;
pub use checks::{CheckItem, DeclaredCheck, Expect};
pub use claim_items::ClaimItem;
pub use claims::claim_requests;
pub use declaration::{CibDeclaration, CorosyncDeclaration, Declaration};
pub use declare::{checks, declare};
pub use error::{AttributeError, BarclampError, Location};
pub use fencing::{Fencing, FencingLevel};
pub use fields::Field;
pub use folder::Folder;
pub use golden::{EXPECTED_FOLDER, GoldenCase, GoldenOutcome, TESTS_FOLDER, run_golden};
pub use item::{Item, Kind};
pub use manifest::{Manifest, Role, RoleDefault};
pub use registry::Registry;
pub use rehearsal::{rehearsal_view, rehearse};
pub use scaffold::scaffold;
pub use schema::{Attributes, Schema, SecretUse};
pub use secret_names::secret_uses;
pub use view::{ClusterView, NodeView};
