//! What is written to block devices: each by the tool that knows how, without its force flags, behind the look at the
//! device that [`device::write`] takes.

use std::time::Duration;

use crate::apply::device;
use crate::apply::run::{Run, StepError};
use crate::plan::{FilesystemType, Step, UNFINISHED_LABEL};

/// How long removing signatures may take.
const WIPE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long making a file system may take: a large disk is discarded first.
const MKFS_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long writing SBD's header may take.
const SBD_TIMEOUT: Duration = Duration::from_secs(120);

/// Removes what libblkid knows, then the first and last MiB, where everything else has its headers; then there must be
/// nothing left.
const WIPE: &str = r#"
wipefs --all --quiet "$dev" || exit 1
mib=1048576
if [ "$size" -ge $((mib * 2)) ]; then
    dd if=/dev/zero of="$dev" bs=4096 count=256 conv=notrunc,fsync status=none || exit 1
    dd if=/dev/zero of="$dev" bs=4096 seek=$(((size - mib) / 4096)) count=256 conv=notrunc,fsync status=none || exit 1
fi
left=$(signatures) || { echo "what is left on $dev could not be learned" >&2; exit 1; }
if [ -n "$left" ]; then echo "$dev still holds $left" >&2; exit 1; fi
"#;

/// mke2fs(8), then the label of what is not complete goes. What it asks is answered by an end of file: no.
const MAKE_EXT4: &str = r#"
mkfs.ext4 -q -U "$1" -L "$2" "$dev" </dev/null || exit 1
tune2fs -L '' "$dev" >/dev/null
"#;

/// mkfs.xfs(8) refuses a device that holds anything; then the label of what is not complete goes.
const MAKE_XFS: &str = r#"
mkfs.xfs -q -m uuid="$1" -L "$2" "$dev" </dev/null || exit 1
xfs_admin -L -- "$dev" >/dev/null
"#;

/// sbd(8): watchdog and message timeout are kept in the header.
const CREATE_SBD: &str = r#"sbd -d "$dev" -1 "$1" -4 "$2" create"#;

/// Carries out [`crate::plan::Action::WipeSignatures`].
///
/// # Errors
/// The device is not what the plan says, a tool refused, or something is left.
pub(super) async fn wipe(step: &Step, run: &Run) -> Result<(), StepError> {
    device::write(step, run, WIPE, &[], WIPE_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::MakeFilesystem`].
///
/// # Errors
/// The device is not what the plan says, or mkfs refused.
pub(super) async fn make_filesystem(
    step: &Step,
    run: &Run,
    fstype: FilesystemType,
    uuid: &str,
) -> Result<(), StepError> {
    let writer = match fstype {
        FilesystemType::Ext4 => MAKE_EXT4,
        FilesystemType::Xfs => MAKE_XFS,
    };
    device::write(step, run, writer, &[uuid, UNFINISHED_LABEL], MKFS_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::CreateSbdHeader`].
///
/// # Errors
/// The device is not what the plan says, or sbd refused.
pub(super) async fn create_sbd_header(
    step: &Step,
    run: &Run,
    watchdog_timeout_s: u32,
    msgwait_timeout_s: u32,
) -> Result<(), StepError> {
    let (watchdog, msgwait) = (watchdog_timeout_s.to_string(), msgwait_timeout_s.to_string());
    device::write(step, run, CREATE_SBD, &[&watchdog, &msgwait], SBD_TIMEOUT).await
}
