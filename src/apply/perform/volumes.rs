//! What is done to volumes of DRBD: each by DRBD's own tool, without its force flags, behind a look at the volume.

use std::time::Duration;

use crate::apply::device;
use crate::apply::run::{Run, StepError};
use crate::plan::{DrbdTarget, DrbdVerb, FilesystemType, Step, UNFINISHED_LABEL};

/// How long making metadata may take: the bitmap of a large disk is written.
const METADATA_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one of DRBD's verbs may take; promotion may wait for a fence agent.
const VERB_TIMEOUT: Duration = Duration::from_secs(180);
/// How long making or growing a file system may take.
const FILESYSTEM_TIMEOUT: Duration = Duration::from_secs(3600);

/// drbdmeta(8) asks when it finds anything; the end of its input is a no. The guard has seen that nothing is there.
const CREATE_METADATA: &str = r#"
under=$(drbdadm sh-ll-dev "$1") || { echo "drbdadm does not know $1" >&2; exit 1; }
[ "$(readlink -e -- "$under")" = "$dev" ] || stop "$1 lies on $under in DRBD's configuration, not on $path"
drbdadm create-md "$1" </dev/null
"#;

/// `adjust` does what `up` does, and also when a part of it was done before.
const UP: &str = r#"drbdadm adjust "$name" </dev/null"#;

/// What makes one side's data the volume's: only while there is none.
const FIRST_SYNC: &str = r#"
must_be_new
drbdadm primary --force "$name"
"#;

/// Both sides count as equal: only while there is no data on either.
const SKIP_FIRST_SYNC: &str = r#"
must_be_new
drbdadm new-current-uuid --clear-bitmap "$name/0"
"#;

const PRIMARY: &str = r#"drbdadm primary "$name""#;

/// A device that is held open is not demoted: who holds it is said.
const SECONDARY: &str = r#"
drbdadm secondary "$name" || { held; exit 1; }
"#;

const RESIZE: &str = r#"drbdadm resize "$name" </dev/null"#;

/// The side that loses its changes must still be the one with the generation that may be lost.
const DISCARD: &str = r#"
[ "$(role)" = Secondary ] || stop "$name is $(role) here"
seen=$(plain_generation) || stop "the generation of $name could not be read"
[ "$seen" = "$1" ] || stop "$name has generation $seen now, not $1"
case $(connection) in StandAlone) ;; *) drbdadm disconnect "$name" || exit 1 ;; esac
drbdadm connect --discard-my-data "$name"
"#;

/// The other side may wait for its peer already.
const CONNECT: &str = r#"
case $(connection) in
    StandAlone) drbdadm connect "$name" ;;
esac
"#;

/// A file system on a volume that is Primary here and holds what `$3` says. Discards of the whole device would go through
/// DRBD's activity log piece by piece, and to the peer: none are sent.
const MAKE_FILESYSTEM: &str = r#"
fstype=$1 uuid=$2 holds=$3 label=$4
[ "$(role)" = Primary ] || stop "$name is $(role) here, not Primary"
case $(disks) in UpToDate*) ;; *) stop "the data of $name is $(disks)" ;; esac
reason=$(exclusive 2>&1) || { held; stop "$dev is in use: $reason"; }
seen=$(signatures) || stop "what is on $dev could not be learned"
same "$seen" "$holds" || stop "$dev holds $(echo ${seen:-nothing}) now, not $(echo ${holds:-nothing})"
if [ -n "$holds" ]; then
    [ "$(blkid --probe --match-tag LABEL --output value "$dev")" = "$label" ] || stop "$dev holds a complete file system"
    wipefs --all --quiet "$dev" || exit 1
fi
case $fstype in
    ext4) mkfs.ext4 -q -E nodiscard -U "$uuid" -L "$label" "$dev" </dev/null && tune2fs -L '' "$dev" >/dev/null ;;
    xfs) mkfs.xfs -q -K -m uuid="$uuid" -L "$label" "$dev" </dev/null && xfs_admin -L -- "$dev" >/dev/null ;;
    *) echo "$fstype is not known" >&2; exit 1 ;;
esac || exit 1
sync "$dev"
"#;

const GROW_FILESYSTEM: &str = r#"
[ "$(role)" = Primary ] || stop "$name is $(role) here, not Primary"
case $1 in
    ext4) resize2fs "$dev" ;;
    xfs) xfs_growfs "$2" ;;
    *) echo "$1 is not known" >&2; exit 1 ;;
esac
"#;

/// Carries out [`crate::plan::Action::CreateDrbdMetadata`].
///
/// # Errors
/// The device is not what the plan says, or drbdmeta asked or refused.
pub(super) async fn create_metadata(step: &Step, run: &Run, target: &DrbdTarget) -> Result<(), StepError> {
    device::write(step, run, CREATE_METADATA, &[&target.volume], METADATA_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::Drbd`].
///
/// # Errors
/// The volume is not what the plan says, or DRBD refused.
pub(super) async fn verb(
    step: &Step,
    run: &Run,
    target: &DrbdTarget,
    verb: &DrbdVerb,
) -> Result<(), StepError> {
    let (script, arguments): (&str, Vec<&str>) = match verb {
        DrbdVerb::Up | DrbdVerb::Adjust => (UP, Vec::new()),
        DrbdVerb::FirstSync => (FIRST_SYNC, Vec::new()),
        DrbdVerb::SkipFirstSync => (SKIP_FIRST_SYNC, Vec::new()),
        DrbdVerb::Primary => (PRIMARY, Vec::new()),
        DrbdVerb::Secondary => (SECONDARY, Vec::new()),
        DrbdVerb::Resize => (RESIZE, Vec::new()),
        DrbdVerb::DiscardMyData { generation } => (DISCARD, vec![generation]),
        DrbdVerb::Connect => (CONNECT, Vec::new()),
    };
    device::volume(step, run, target, script, &arguments, VERB_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::MakeVolumeFilesystem`].
///
/// # Errors
/// The volume is not what the plan says, or mkfs refused.
pub(super) async fn make_filesystem(
    step: &Step,
    run: &Run,
    target: &DrbdTarget,
    fstype: FilesystemType,
    uuid: &str,
    unfinished: bool,
) -> Result<(), StepError> {
    let holds = if unfinished { format!("{}/{uuid}", fstype.word()) } else { String::new() };
    let arguments = [fstype.word(), uuid, &holds, UNFINISHED_LABEL];
    device::volume(step, run, target, MAKE_FILESYSTEM, &arguments, FILESYSTEM_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::GrowVolumeFilesystem`].
///
/// # Errors
/// The volume is not what the plan says, or the tool refused.
pub(super) async fn grow_filesystem(
    step: &Step,
    run: &Run,
    target: &DrbdTarget,
    fstype: FilesystemType,
    mount: &str,
) -> Result<(), StepError> {
    device::volume(step, run, target, GROW_FILESYSTEM, &[fstype.word(), mount], FILESYSTEM_TIMEOUT).await
}
