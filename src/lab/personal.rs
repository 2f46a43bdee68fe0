//! What makes a node that node: name, machine id, keys, the fence agent.
//!
//! In: a node, the image's accounts. Out: files with modes and owners, for a backend to put into the node's root file
//! system before its first boot. Makes the node's host key in the node's directory; touches no root file system.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::error::LabError;
use super::process::Program;
use super::record::{LabNode, LabPaths};
use crate::resource::LAB_MARK;

/// The agent that pacemaker-fenced runs on the nodes.
const FENCE_AGENT: &str = include_str!("../../templates/lab/fence_hactl_lab");
/// Where it belongs.
const FENCE_AGENT_PATH: &str = "usr/sbin/fence_hactl_lab";
/// Accounts that the lab's key opens.
const ACCOUNTS: [&str; 3] = ["root", "admin", "operator"];

/// An account of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
    /// Relative to the root.
    home: String,
}

/// A file or directory of one node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PersonalFile {
    /// Relative to the root.
    pub(crate) path: String,
    /// `None` for a directory.
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl PersonalFile {
    fn of_root(path: &str, mode: u32, text: &str) -> Self {
        let content = Some(text.as_bytes().to_vec());
        Self { path: path.to_owned(), content, mode, uid: 0, gid: 0 }
    }
}

/// The node's own files, each directory before what is in it. `passwd` is the image's /etc/passwd.
pub(crate) fn files(
    node: &LabNode,
    lab_paths: &LabPaths,
    passwd: &str,
) -> Result<Vec<PersonalFile>, LabError> {
    let name = node.name.as_str();
    let machine_id = Program::new("make a machine id", ["systemd-id128", "new"]).run()?;
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n");
    let mut files = vec![
        PersonalFile::of_root("etc/hostname", 0o644, &format!("{name}\n")),
        PersonalFile::of_root("etc/hosts", 0o644, &hosts),
        PersonalFile::of_root("etc/machine-id", 0o444, &machine_id),
        PersonalFile::of_root(
            LAB_MARK.trim_start_matches('/'),
            0o644,
            "A node of a lab, made by `hactl lab up`.\n",
        ),
        PersonalFile::of_root(FENCE_AGENT_PATH, 0o755, FENCE_AGENT),
    ];
    let key = read(&lab_paths.identity().with_extension("pub"))?;
    for account in ACCOUNTS {
        let Account { uid, gid, home } = find(passwd, account)
            .ok_or_else(|| LabError::Usage(format!("the image has no account `{account}`")))?;
        let directory = format!("{home}/.ssh");
        let keys = format!("{directory}/authorized_keys");
        files.push(PersonalFile { path: directory, content: None, mode: 0o700, uid, gid });
        let content = Some(key.as_bytes().to_vec());
        files.push(PersonalFile { path: keys, content, mode: 0o600, uid, gid });
    }
    let host_key = lab_paths.node(&node.name).host_key();
    make_key(&host_key, &format!("root@{name}"))?;
    let ssh = "etc/ssh/ssh_host_ed25519_key";
    files.push(PersonalFile::of_root(ssh, 0o600, &read(&host_key)?));
    let public = read(&host_key.with_extension("pub"))?;
    files.push(PersonalFile::of_root(&format!("{ssh}.pub"), 0o644, &public));
    Ok(files)
}

/// Writes the files below a root that this process sees.
pub(crate) fn write_below(root: &Path, files: &[PersonalFile]) -> Result<(), LabError> {
    for file in files {
        let path = root.join(&file.path);
        let directory = if file.content.is_some() { path.parent() } else { Some(path.as_path()) };
        if let Some(directory) = directory {
            fs::create_dir_all(directory).map_err(LabError::io("create", directory))?;
        }
        if let Some(content) = &file.content {
            fs::write(&path, content).map_err(LabError::io("write", &path))?;
        }
        chown(&path, Some(file.uid), Some(file.gid)).map_err(LabError::io("set the owner of", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))
            .map_err(LabError::io("set the mode of", &path))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(LabError::io("read", path))
}

/// Makes an Ed25519 key pair.
pub(crate) fn make_key(file: &Path, comment: &str) -> Result<(), LabError> {
    Program::new("make an SSH key", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(file)
        .run()
        .map(drop)
}

/// An account of passwd(5).
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, uid, gid, _, home, ..] = fields[..] else { return None };
        let home = home.trim_matches('/').to_owned();
        (found == name).then_some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nadministrator:x:7:7::/x:/bin/sh\nadmin:x:1000:100::/home/admin:/bin/bash\n";
        assert_eq!(find(passwd, "root"), Some(Account { uid: 0, gid: 0, home: "root".into() }));
        assert_eq!(find(passwd, "admin"), Some(Account { uid: 1000, gid: 100, home: "home/admin".into() }));
        assert_eq!(find(passwd, "operator"), None);
    }
}
