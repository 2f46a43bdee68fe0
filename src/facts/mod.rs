//! Stage 2: what was seen on the nodes. Partial by design: what could not be learned says why.
//!
//! Values only; `discovery` makes them, everything between here and `plan` reads them.

mod digest;
mod fact;
mod fleet;
mod ledger;
mod node;
mod observation;
mod storage;

pub use digest::{Digest, DigestParseError};
pub use fact::Fact;
pub use fleet::{FleetFacts, NodeOutcome};
pub use ledger::{LEDGER_FORMAT, LEDGER_PATH, Ledger, OwnedFile, OwnedUnit};
pub use node::{Clock, Hardware, Kernel, Link, NodeFacts, OsRelease, PackageManager, Space};
pub use observation::{ClusterQuery, FileState, Observation, PackageState, Query, UnitState};
pub use storage::BlockDevice;
