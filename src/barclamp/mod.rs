//! Barclamps: folders of data that teach hactl one more service.
//!
//! In: a folder (manifest, attribute schema, declarations, templates, checks), and what is known of a cluster. Out:
//! typed [`Declaration`]s, fully rendered, secrets as markers. Pure but for reading the folders.

mod agent;
mod bundle;
mod checks;
mod cib_context;
mod cluster_data;
mod context;
mod declaration;
mod declare;
mod error;
mod expand;
mod explain;
mod fencing;
mod folder;
mod golden;
mod item;
mod manifest;
mod migration;
mod order;
mod paths;
mod registry;
mod scaffold;
mod schema;
mod templates;
mod view;
