//! Recorded answers of the three questions, as the devices that they tell: for tests and fuzzing of what is made of them.

use super::{ContentProbe, LsblkProbe, TreeProbe, assemble};
use crate::discovery::probe::{Answer, Probe};
use crate::facts::{BlockDevice, Fact};

/// The devices that these outputs of lsblk, the tree and the contents tell.
#[must_use]
pub fn recorded_block_devices(lsblk: &[u8], tree: &[u8], content: &[u8]) -> Fact<Vec<BlockDevice>> {
    fn read<P: Probe>(probe: &P, stdout: &[u8]) -> Fact<P::Fact> {
        probe.parse(&Answer { stdout: stdout.to_vec(), ..Answer::default() }).into()
    }
    assemble(read(&LsblkProbe, lsblk), &read(&TreeProbe, tree), &read(&ContentProbe, content))
}
