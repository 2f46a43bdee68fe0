//! The image of virtual machines: the lab's minimal Debian with a kernel, as a disk.
//!
//! In: the minimal Debian's tree, the package repository. Out: in the cache, a disk image, a kernel, an initrd and the list
//! of accounts. Nothing but the repository is read: the network is not needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::Say;
use crate::lab::cache::{Entry, remove_tree};
use crate::lab::error::LabError;
use crate::lab::image::NODE_REPOSITORY;
use crate::lab::machine::ImageParts;
use crate::lab::process::Program;

use super::initrd;

/// Raised when what this file makes changes in another way than by its inputs.
const IMAGE_VERSION: &str = "1";
/// What makes the minimal Debian a machine: a kernel (with DRBD and watchdogs), a shell for the initrd, and Python, which
/// every image of Debian for machines has and which an emulated processor compiles for half a minute.
pub(crate) const MACHINE_PACKAGES: [&str; 3] = ["linux-image-amd64", "busybox-static", "python3"];
/// What a baked image has besides: what a cluster with replicated storage is made of.
const CLUSTER_PACKAGES: &str = include_str!("../../../templates/lab/baked.txt");
/// Installs packages in the tree.
const INSTALL: &str = include_str!("../../../templates/lab/vm-install");
/// Longest copy of the tree.
const COPY_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Longest installation of packages in the tree.
const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Longest making of the disk image or of the initrd.
const MAKE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Size of the root file system; the file is sparse.
const ROOT_SIZE: &str = "4G";
/// What its file system is called.
const ROOT_LABEL: &str = "hactl-lab";

/// The files of an image.
#[derive(Debug, Clone)]
pub(crate) struct ImageFiles<'a> {
    dir: &'a Path,
}

impl<'a> ImageFiles<'a> {
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self { dir }
    }
    /// The root file system that all nodes begin with.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root.img")
    }
    pub(crate) fn kernel(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }
    /// Compressed.
    pub(crate) fn initrd(&self) -> PathBuf {
        self.dir.join("initrd.gz")
    }
    /// The image's /etc/passwd.
    pub(crate) fn passwd(&self) -> PathBuf {
        self.dir.join("passwd")
    }
}

/// The image's directory, built when it is not in the cache.
pub(crate) fn image(
    cache_dir: &Path,
    parts: ImageParts<'_>,
    baked: bool,
    say: Say<'_>,
) -> Result<PathBuf, LabError> {
    // The directories in the cache are named by their content.
    let key = |path: Option<&Path>| {
        path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
    };
    let packages = packages(baked);
    let inputs = [
        IMAGE_VERSION,
        &key(parts.base.parent()),
        &key(Some(parts.packages)),
        &packages.join(" "),
        INSTALL,
        initrd::INIT,
        ROOT_SIZE,
    ];
    let label = if baked { "vm-baked" } else { "vm" };
    Entry::new(cache_dir, &format!("{label}-{}", parts.suite), &inputs).get(say, |dir| {
        say(&format!("building the {} image of virtual machines (once; about two minutes)", parts.suite));
        build(dir, parts, &packages)
    })
}

fn packages(baked: bool) -> Vec<&'static str> {
    let cluster =
        CLUSTER_PACKAGES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    MACHINE_PACKAGES.into_iter().chain(cluster.filter(|_| baked)).collect()
}

fn build(dir: &Path, parts: ImageParts<'_>, packages: &[&str]) -> Result<(), LabError> {
    let (tree, files) = (dir.join("tree"), ImageFiles::new(dir));
    Program::new("copy the minimal Debian", ["cp", "--archive", "--reflink=auto", "--"])
        .arg(parts.base)
        .arg(&tree)
        .limit(COPY_LIMIT)
        .run()?;
    Program::new("install a kernel in the image", ["sh", "-c", INSTALL, "vm-install"])
        .arg(&tree)
        .arg(parts.packages)
        .arg(NODE_REPOSITORY)
        .args(packages.iter().copied())
        .contained()
        .limit(INSTALL_LIMIT)
        .run()?;
    let (kernel, release) = kernel(&tree.join("boot"))?;
    let copy = |from: &Path, to: PathBuf| fs::copy(from, to).map(drop).map_err(LabError::io("copy", from));
    copy(&kernel, files.kernel())?;
    copy(&tree.join("etc/passwd"), files.passwd())?;
    let initrd = dir.join("initrd");
    fs::write(&initrd, initrd::of_image(&tree, &release)?).map_err(LabError::io("write", &initrd))?;
    Program::new("compress the initrd", ["gzip", "--"]).arg(&initrd).limit(MAKE_LIMIT).run()?;
    // Nothing is left to be initialised in the background of an emulated machine.
    let whole = "lazy_itable_init=0,lazy_journal_init=0";
    Program::new("make the image's file system", ["mkfs.ext4", "-q", "-L", ROOT_LABEL, "-E", whole, "-d"])
        .arg(&tree)
        .arg(files.root())
        .arg(ROOT_SIZE)
        .limit(MAKE_LIMIT)
        .run()?;
    remove_tree(&tree)
}

/// The kernel in this directory, and its release.
fn kernel(boot: &Path) -> Result<(PathBuf, String), LabError> {
    let entries = fs::read_dir(boot).map_err(LabError::io("read", boot))?;
    let kernel = |entry: fs::DirEntry| {
        let release = entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some((entry.path(), release))
    };
    let mut kernels: Vec<(PathBuf, String)> = entries.filter_map(Result::ok).filter_map(kernel).collect();
    kernels.sort();
    kernels.pop().ok_or_else(|| LabError::Usage(format!("there is no kernel in {}", boot.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baked_image_has_a_cluster_in_it_and_a_bare_one_has_not() {
        assert_eq!(packages(false), MACHINE_PACKAGES);
        let baked = packages(true);
        for name in ["linux-image-amd64", "corosync", "pacemaker", "drbd-utils", "sbd"] {
            assert!(baked.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_kernel_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(kernel(dir.path()).is_err());
        for name in ["config-6.1.0-1-amd64", "vmlinuz-6.1.0-1-amd64"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(kernel(dir.path()).unwrap().1, "6.1.0-1-amd64");
    }
}
