//! The packages that nodes install: a flat repository on the host, filled from the host's own mirror.
//!
//! In: an image, apt sources, a list of packages. Out: a directory with .deb files and their index. The host's
//! own apt state is neither read nor changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Say;
use super::cache::{Entry, remove_tree};
use super::config::Suite;
use super::error::LabError;
use super::process::Program;

/// The built-in list.
const PACKAGES: &str = include_str!("../../templates/lab/packages.txt");
/// Longest `apt-get update`.
const UPDATE_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Longest download of all packages.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Longest indexing.
const INDEX_LIMIT: Duration = Duration::from_secs(2 * 60);
/// Raised when what this file makes changes.
const REPOSITORY_VERSION: &str = "1";

/// A wanted package.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    optional: bool,
}

/// The repository's directory, built when it is not in the cache.
pub(crate) fn repository(
    cache_dir: &Path,
    suite: Suite,
    sources: &str,
    image: &Path,
    extra: &[String],
    say: Say<'_>,
) -> Result<PathBuf, LabError> {
    let mut extra = extra.to_vec();
    extra.sort();
    // The image's directory is named by its content.
    let image_key = image.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let entry = Entry::new(
        cache_dir,
        &format!("packages-{suite}"),
        &[REPOSITORY_VERSION, sources, PACKAGES, &extra.join(" "), &image_key],
    );
    entry.get(say, |dir| {
        say(&format!("downloading the packages that {suite} nodes install from (once)"));
        let mut wanted = parse(PACKAGES);
        wanted.extend(extra.iter().map(|name| Wanted { name: name.clone(), optional: false }));
        build(dir, sources, image, &wanted)
    })
}

fn parse(text: &str) -> Vec<Wanted> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.strip_suffix('?') {
            Some(name) => Wanted { name: name.to_owned(), optional: true },
            None => Wanted { name: line.to_owned(), optional: false },
        })
        .collect()
}

fn build(dir: &Path, sources: &str, image: &Path, wanted: &[Wanted]) -> Result<(), LabError> {
    let apt = Apt::prepare(&dir.join(".apt"), dir, sources, image)?;
    apt.program("read the package lists of the mirror", "apt-get").arg("update").limit(UPDATE_LIMIT).run()?;
    let known = apt.program("list packages", "apt-cache").arg("pkgnames").limit(UPDATE_LIMIT).run()?;
    let known: std::collections::BTreeSet<&str> = known.lines().collect();
    let mut program = apt
        .program("download packages for the nodes", "apt-get")
        .arg("--yes")
        .arg("--download-only")
        .arg("--no-install-recommends")
        .arg("install")
        .limit(DOWNLOAD_LIMIT);
    for package in wanted {
        if !package.optional || known.contains(package.name.as_str()) {
            program = program.arg(&package.name);
        }
    }
    program.run()?;
    remove_tree(&dir.join(".apt"))?;
    for name in ["lock", "partial"] {
        remove_tree(&dir.join(name))?;
    }
    rename_epochs(dir)?;
    index(dir)
}

/// `%3a` in a file name (an epoch's colon) would be decoded when apt makes a URL of it.
fn rename_epochs(dir: &Path) -> Result<(), LabError> {
    for entry in fs::read_dir(dir).map_err(LabError::io("read", dir))?.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("%3a") {
            let to = dir.join(name.replace("%3a", "-"));
            fs::rename(entry.path(), &to).map_err(LabError::io("rename", &entry.path()))?;
        }
    }
    Ok(())
}

fn index(dir: &Path) -> Result<(), LabError> {
    let ftparchive = |verb: &str| {
        Program::new(
            "index the nodes' packages",
            ["apt-ftparchive", "-o", "APT::FTPArchive::AlwaysStat=false"],
        )
        .arg(verb)
        .arg(".")
        .dir(dir)
        .limit(INDEX_LIMIT)
    };
    let packages = dir.join("Packages");
    fs::write(&packages, ftparchive("packages").all_output().run()?)
        .map_err(LabError::io("write", &packages))?;
    Program::new("compress the index", ["gzip", "--keep", "--fast"])
        .arg(&packages)
        .limit(INDEX_LIMIT)
        .run()?;
    let release = dir.join("Release");
    fs::write(&release, ftparchive("release").run()?).map_err(LabError::io("write", &release))
}

/// apt with directories of its own and the image's idea of what is installed.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn prepare(work: &Path, archives: &Path, sources: &str, image: &Path) -> Result<Self, LabError> {
        for name in ["lists/partial", "cache"] {
            let path = work.join(name);
            fs::create_dir_all(&path).map_err(LabError::io("create", &path))?;
        }
        let partial = archives.join("partial");
        fs::create_dir_all(&partial).map_err(LabError::io("create", &partial))?;
        let list = work.join("lab.sources");
        fs::write(&list, sources).map_err(LabError::io("write", &list))?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let options = vec![
            format!("Dir::State={}", path(work)),
            format!("Dir::State::lists={}", path(&work.join("lists"))),
            format!("Dir::State::status={}", path(&image.join("var/lib/dpkg/status"))),
            format!("Dir::State::extended_states={}", path(&work.join("extended_states"))),
            format!("Dir::Cache={}", path(&work.join("cache"))),
            format!("Dir::Cache::archives={}", path(archives)),
            format!("Dir::Etc::sourcelist={}", path(&list)),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferencesparts=-".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Get::List-Cleanup=0".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::http::Timeout=30".to_owned(),
            "Debug::NoLocking=1".to_owned(),
        ];
        Ok(Self { options })
    }

    fn program(&self, attempted: &str, tool: &str) -> Program {
        let mut program = Program::new(attempted, [tool, "-q"]);
        for option in &self.options {
            program = program.arg("-o").arg(option);
        }
        program.env("DEBIAN_FRONTEND", "noninteractive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_what_a_cluster_needs_once_each() {
        let wanted = parse(PACKAGES);
        let names: std::collections::BTreeSet<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names.len(), wanted.len());
        for name in ["corosync", "pacemaker", "haproxy", "crmsh", "drbd-utils", "sbd"] {
            assert!(wanted.contains(&Wanted { name: name.to_owned(), optional: false }), "{name}");
        }
    }
}
