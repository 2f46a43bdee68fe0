//! Directories that move to a volume: copied there whole, then replaced by links.

use std::time::Duration;

use camino::Utf8Path;

use crate::apply::run::{Run, StepError};
use crate::plan::{SeedSource, Step};
use crate::resource::SET_ASIDE;
use crate::transport::Command;

/// How long copying a directory may take.
const COPY_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// How long everything else may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// Stops with a word when a process has something in `$dir` open.
const IN_USE: &str = r#"
stop() { printf '%s\n' "$*" >&2; exit 1; }
not_in_use() {
    users=$(find /proc/[0-9]*/fd /proc/[0-9]*/cwd -maxdepth 1 \( -lname "$dir" -o -lname "$dir/*" \) 2>/dev/null |
        awk -F/ '!seen[$3]++ { print $3 }' | while read -r pid; do
            name=$(cat "/proc/$pid/comm" 2>/dev/null) && printf ' %s (%s)' "$pid" "$name"
        done)
    [ -z "$users" ] || stop "$dir is in use by process$users"
}
"#;

/// `$1` the directory, `$2` the mount; `$3` a device to mount in this namespace instead, with `$4` its type. The copy gets
/// its name only when it is complete and on stable storage: one that has it was finished by an earlier run.
const SEED: &str = r#"
dir=$1 base=$2
if [ -n "$3" ]; then
    base=$(mktemp -d /run/hactl-seed.XXXXXX) || exit 1
    trap 'cd /; umount -- "$base" 2>/dev/null; rmdir -- "$base"' EXIT
    mount -t "$4" -- "$3" "$base" || exit 1
else
    mountpoint -q -- "$base" || stop "nothing is mounted at $base any more"
fi
target=$base$dir work=$base/.hactl-seeding
[ ! -d "$target" ] || exit 0
[ -d "$dir" ] && [ ! -L "$dir" ] || stop "there is no directory $dir here to begin with"
not_in_use
needed=$(du -s --block-size=1 -- "$dir" | cut -f 1) && free=$(df --output=avail --block-size=1 -- "$base" | tail -n 1) || exit 1
[ "$((needed + needed / 20 + 1048576))" -lt "$free" ] ||
    stop "$dir needs $needed bytes and a twentieth more, and the volume has $free"
rm -rf -- "$work" && mkdir -m 0700 -- "$work" || exit 1
cp -dR --preserve=mode,ownership,timestamps,links,xattr -- "$dir" "$work/copy" || exit 1
list() {
    cd -- "$1" && LC_ALL=C find . \( -type f -printf '%P %y %m %U %G %s %T@\n' -o -printf '%P %y %m %U %G %l\n' \) |
        LC_ALL=C sort | sha256sum
}
[ "$(list "$dir")" = "$(list "$work/copy")" ] || stop "$dir changed while it was copied"
sync -f "$base" || exit 1
mkdir -p -- "${target%/*}" && mv -T -- "$work/copy" "$target" && rmdir -- "$work" && sync -f "$base"
"#;

/// `$1` the directory, `$2` what the link leads to, `$3` what the directory's name gets.
const LINK: &str = r#"
dir=$1 target=$2 aside=$1$3
if [ -L "$dir" ]; then
    [ "$(readlink -- "$dir")" = "$target" ] && exit 0
    stop "$dir is a link to somewhere else"
fi
if [ -e "$dir" ]; then
    [ -d "$dir" ] || stop "$dir is no directory"
    [ ! -e "$aside" ] || stop "there are $dir and $aside: see which of them counts"
    not_in_use
fi
mkdir -p -- "${dir%/*}" && rm -f -- "$dir.hactl-new" && ln -s -- "$target" "$dir.hactl-new" || exit 1
if [ -e "$dir" ]; then mv -T -- "$dir" "$aside" || exit 1; fi
mv -T -- "$dir.hactl-new" "$dir" && sync -- "${dir%/*}"
"#;

/// What to do when a directory cannot be copied.
const COPY_ADVICE: &str = "nothing of the directory was changed; mend that and run again";
/// What to do when the link cannot be made.
const LINK_ADVICE: &str = "mend that and run again: the copy on the volume is complete";
/// What to do when the volume cannot be brought up or down.
const VOLUME_ADVICE: &str = "see `hactl status` for the volume, then run again";

/// Carries out [`crate::plan::Action::SeedDirectory`].
///
/// # Errors
/// The volume could not be mounted, has no room, or the directory is in use or changes meanwhile.
pub(super) async fn seed(
    step: &Step,
    run: &Run,
    directory: &Utf8Path,
    mount: &Utf8Path,
    open: Option<&SeedSource>,
) -> Result<(), StepError> {
    let script = format!("{IN_USE}{SEED}");
    let (device, fstype) = open.map_or(("", ""), |open| (open.device.as_str(), open.fstype.word()));
    let words = ["hactl-seed", directory.as_str(), mount.as_str(), device, fstype];
    let copy = Command::new(words).wrapped(["sh", "-c", script.as_str()]).timeout(COPY_TIMEOUT);
    let Some(open) = open else {
        return run.must(&step.node, &copy, COPY_ADVICE).await.map(|_| ());
    };
    volume(step, run, &open.open).await?;
    // What is mounted in it is unmounted with the last process in it, however that ends.
    let copy = copy.wrapped(["unshare", "--mount", "--propagation", "private", "--"]);
    let copied = run.must(&step.node, &copy, COPY_ADVICE).await;
    let closed = volume(step, run, &open.close).await;
    copied.map(|_| ()).and(closed)
}

async fn volume(step: &Step, run: &Run, argv: &[String]) -> Result<(), StepError> {
    if argv.is_empty() {
        return Ok(());
    }
    let command = Command::new(argv.iter().cloned()).timeout(STEP_TIMEOUT);
    run.must(&step.node, &command, VOLUME_ADVICE).await.map(|_| ())
}

/// Carries out [`crate::plan::Action::LinkDirectory`].
///
/// # Errors
/// Something uses the directory, or something else is in the way.
pub(super) async fn link(
    step: &Step,
    run: &Run,
    directory: &Utf8Path,
    target: &Utf8Path,
) -> Result<(), StepError> {
    let script = format!("{IN_USE}{LINK}");
    let words = ["hactl-link", directory.as_str(), target.as_str(), SET_ASIDE];
    let command = Command::new(words).wrapped(["sh", "-c", script.as_str()]).timeout(STEP_TIMEOUT);
    run.must(&step.node, &command, LINK_ADVICE).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, words: &[&str]) -> std::process::Output {
        let script = format!("{IN_USE}{script}");
        std::process::Command::new("sh").args(["-c", &script, "sh"]).args(words).output().unwrap()
    }

    #[test]
    fn a_link_takes_the_place_of_a_directory_and_a_killed_run_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        let (dir, target) = (dir.to_str().unwrap(), "/mnt/volume/data");
        std::fs::create_dir(dir).unwrap();
        std::fs::write(format!("{dir}/file"), "1").unwrap();
        let link = || run(LINK, &[dir, target, SET_ASIDE]);
        assert!(link().status.success());
        assert_eq!(std::fs::read_link(dir).unwrap().to_str(), Some(target));
        assert_eq!(std::fs::read_to_string(format!("{dir}{SET_ASIDE}/file")).unwrap(), "1");
        // Killed between the two renames: the directory is aside and nothing is in its place.
        std::fs::remove_file(dir).unwrap();
        assert!(link().status.success() && link().status.success());
        assert_eq!(std::fs::read_link(dir).unwrap().to_str(), Some(target));
        // A directory that came back beside the one that was set aside is nobody's to judge.
        std::fs::remove_file(dir).unwrap();
        std::fs::create_dir(dir).unwrap();
        let refused = link();
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("see which of them counts"));
    }

    #[test]
    fn a_directory_in_use_is_not_taken_away_and_its_user_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        std::fs::create_dir(&dir).unwrap();
        let mut user = std::process::Command::new("sleep").arg("60").current_dir(&dir).spawn().unwrap();
        let refused = run(LINK, &[dir.to_str().unwrap(), "/mnt/x", SET_ASIDE]);
        user.kill().unwrap();
        user.wait().unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(&format!("{} (sleep)", user.id())), "{said}");
        assert!(dir.is_dir());
    }

    #[test]
    fn the_scripts_are_valid_shell() {
        for script in [SEED, LINK] {
            let text = format!("{IN_USE}{script}");
            assert!(std::process::Command::new("sh").args(["-n", "-c", &text]).status().unwrap().success());
        }
    }
}
