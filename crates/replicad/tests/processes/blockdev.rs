//! The volume as a block device with a file system on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use replicad::control::Verb;
use replicad::settings::Attach;

use crate::pair::{Node, Pair, in_sync};

const PRIMARY: Verb = Verb::Primary { force: false };
const SECONDARY: Verb = Verb::Secondary { force: false };
/// After so many seconds a program counts as hung.
const LIMIT_SECONDS: &str = "60";

/// Why it cannot be tried here.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can mount".to_owned());
    }
    let paths = ["/dev/fuse", "/dev/loop-control"];
    paths.into_iter().find(|path| !Path::new(path).exists()).map(|path| format!("there is no {path}"))
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new("timeout").args([LIMIT_SECONDS, program]).args(arguments).output().unwrap()
}

fn succeeds(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A mounted file system; unmounted, and its loop device let go of, whatever happens.
struct Mounted {
    at: PathBuf,
    device: String,
}

impl Mounted {
    fn new(device: &Path, at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let device = device.to_str().unwrap().to_owned();
        succeeds("mount", &["-o", "errors=remount-ro", &device, at.to_str().unwrap()]);
        Self { at: at.to_owned(), device }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.at.to_str().unwrap()]);
    }
}

/// Whether a loop device rests on the file of a volume in this folder, or on one whose mount is gone: such a file has no path.
fn is_attached(device: &str, folder: &Path) -> bool {
    let backing = Path::new("/sys/block").join(device.trim_start_matches("/dev/")).join("loop/backing_file");
    let Ok(backing) = std::fs::read_to_string(backing) else { return false };
    backing.trim() == "/" || Path::new(backing.trim()).starts_with(folder)
}

pub(crate) fn device(node: &Node) -> PathBuf {
    let status = node.wait("a block device", |status| status["devices"][0]["block-device"].is_string());
    PathBuf::from(status["devices"][0]["block-device"].as_str().unwrap())
}

pub(crate) fn file_system() {
    assert_eq!(Attach::default(), Attach::None, "nobody gets a block device unasked");
    let mut pair = Pair::in_use("attach: fuse");
    let at = pair.folder.path().join("mnt");
    let first = device(&pair.alpha);
    succeeds("mkfs.ext4", &["-q", "-F", first.to_str().unwrap()]);
    let content: Vec<u8> = (0..8_u32 << 20).map(|byte| (byte / 4091) as u8).collect();
    let mounted = Mounted::new(&first, &at);
    std::fs::write(at.join("kept"), &content).unwrap();
    succeeds("sync", &["-f", at.to_str().unwrap()]);
    succeeds("fstrim", &[at.to_str().unwrap()]);
    let refusal = pair.alpha.refused(SECONDARY);
    assert!(refusal.contains(at.to_str().unwrap()), "{refusal}");
    drop(mounted);
    pair.alpha.order(SECONDARY);
    assert!(pair.alpha.status()["devices"][0]["block-device"].is_null());
    pair.beta.order(PRIMARY);
    let mounted = Mounted::new(&device(&pair.beta), &at);
    assert!(std::fs::read(at.join("kept")).unwrap() == content);
    // Killed under the file system: errors, and nothing hangs.
    pair.beta.kill();
    let output = run(
        "dd",
        &["if=/dev/zero", &format!("of={}", at.join("lost").display()), "bs=64k", "count=64", "oflag=direct"],
    );
    assert_ne!(output.status.code(), Some(124), "it hangs");
    assert!(!output.status.success(), "nobody can have written that");
    let stale = mounted.device.clone();
    drop(mounted);
    pair.alpha.order(PRIMARY);
    let mounted = Mounted::new(&device(&pair.alpha), &at);
    assert!(std::fs::read(at.join("kept")).unwrap() == content);
    drop(mounted);
    assert!(is_attached(&stale, pair.folder.path()), "nobody has let go of it yet");
    pair.beta.start();
    pair.alpha.wait("in sync again", in_sync);
    assert!(!is_attached(&stale, pair.folder.path()), "who comes back lets go of the device that was left");
    pair.assert_equal();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(pair.folder.path().to_str().unwrap()), "{mounts}");
    let left = run("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]);
    assert!(!String::from_utf8_lossy(&left.stdout).contains(pair.folder.path().to_str().unwrap()));
}
