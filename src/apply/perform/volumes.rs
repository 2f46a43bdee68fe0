//! What is done to replicated volumes: each by its engine's own tool (`engine/*.sh`), behind a look at the volume.

use std::time::Duration;

use crate::apply::device;
use crate::apply::run::{Run, StepError};
use crate::plan::{FilesystemType, Step, UNFINISHED_LABEL, VolumeTarget, VolumeVerb};

/// How long making metadata may take: the bitmap of a large disk is written.
const METADATA_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one of an engine's verbs may take; promotion may wait for a fence agent.
const VERB_TIMEOUT: Duration = Duration::from_secs(180);
/// How long making or growing a file system may take.
const FILESYSTEM_TIMEOUT: Duration = Duration::from_secs(3600);

/// The guard has seen that nothing is there.
const CREATE_METADATA: &str = r#"
seen=$(under) || { echo "$name is not configured" >&2; exit 1; }
[ "$(readlink -e -- "$seen")" = "$dev" ] || stop "$name lies on $seen in its configuration, not on $path"
create_metadata
"#;

const UP: &str = "bring_up";
const ADJUST: &str = "adjust";

/// What makes one side's data the volume's: only while there is none.
const FIRST_SYNC: &str = r#"
must_be_new
promote_new
"#;

/// Both sides count as equal: only while there is no data on either.
const SKIP_FIRST_SYNC: &str = r#"
must_be_new
count_as_equal
"#;

const PRIMARY: &str = "promote";

/// A device that is held open is not demoted: who holds it is said.
const SECONDARY: &str = "demote || { held; exit 1; }";

const RESIZE: &str = "grow";

/// The side that loses its changes must still be the one with the generation that may be lost.
const DISCARD: &str = r#"
[ "$(role)" = Secondary ] || stop "$name is $(role) here"
seen=$(plain_generation) || stop "the generation of $name could not be read"
[ "$seen" = "$1" ] || stop "$name has generation $seen now, not $1"
case $(connection) in StandAlone) ;; *) disconnect || exit 1 ;; esac
connect_discarding
"#;

/// The other side may wait for its peer already.
const CONNECT: &str = r#"
case $(connection) in
    StandAlone) connect ;;
esac
"#;

/// A file system on a volume that is Primary here and holds what `$3` says. Discards of the whole device would go through
/// the activity log piece by piece, and to the peer: none are sent.
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

/// Carries out [`crate::plan::Action::CreateVolumeMetadata`].
///
/// # Errors
/// The device is not what the plan says, or the tool asked or refused.
pub(super) async fn create_metadata(step: &Step, run: &Run, target: &VolumeTarget) -> Result<(), StepError> {
    let volume = &target.volume;
    let writer = format!("name=$1 minor=$2\n{}\n{CREATE_METADATA}", volume.engine.functions());
    device::write(step, run, &writer, &[&volume.name, &volume.minor.to_string()], METADATA_TIMEOUT).await
}

/// Carries out [`crate::plan::Action::Drbd`].
///
/// # Errors
/// The volume is not what the plan says, or its engine refused.
pub(super) async fn verb(
    step: &Step,
    run: &Run,
    target: &VolumeTarget,
    verb: &VolumeVerb,
) -> Result<(), StepError> {
    let (script, arguments): (&str, Vec<&str>) = match verb {
        VolumeVerb::Up => (UP, Vec::new()),
        VolumeVerb::Adjust => (ADJUST, Vec::new()),
        VolumeVerb::FirstSync => (FIRST_SYNC, Vec::new()),
        VolumeVerb::SkipFirstSync => (SKIP_FIRST_SYNC, Vec::new()),
        VolumeVerb::Primary => (PRIMARY, Vec::new()),
        VolumeVerb::Secondary => (SECONDARY, Vec::new()),
        VolumeVerb::Resize => (RESIZE, Vec::new()),
        VolumeVerb::DiscardMyData { generation } => (DISCARD, vec![generation]),
        VolumeVerb::Connect => (CONNECT, Vec::new()),
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
    target: &VolumeTarget,
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
    target: &VolumeTarget,
    fstype: FilesystemType,
    mount: &str,
) -> Result<(), StepError> {
    device::volume(step, run, target, GROW_FILESYSTEM, &[fstype.word(), mount], FILESYSTEM_TIMEOUT).await
}
