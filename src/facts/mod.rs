//! Stage 2: what was seen on the nodes. Partial by design: what could not be learned says why.
//!
//! Values only; `discovery` makes them, everything between here and `plan` reads them.

mod claim_ledger;
mod digest;
mod fact;
mod fleet;
mod ledger;
mod node;
mod observation;
mod stable_id;
mod storage;

pub use claim_ledger::{CLAIM_LEDGER_FORMAT, CLAIM_LEDGER_PATH, ClaimEntry, ClaimLedger, ExpectedSignature};
pub use digest::{Digest, DigestParseError};
pub use fact::Fact;
pub use fleet::{FleetFacts, NodeOutcome};
pub use ledger::{LEDGER_FORMAT, LEDGER_PATH, Ledger, OwnedFile, OwnedUnit};
pub use node::{Clock, Hardware, Kernel, Link, NodeFacts, OsRelease, PackageManager, Space};
pub use observation::{
    ClusterQuery, FileState, Observation, PackageState, Query, SeededQuery, UnitState, VolumeQuery,
};
pub use stable_id::StableId;
pub use storage::{BlockDevice, DeviceContent, DeviceUser, Signature};
