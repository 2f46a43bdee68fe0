//! Where the log of a run goes when nobody says: a file of its own below the user's state folder.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use super::{CommandError, GlobalArgs};

/// Logs that are kept; older ones are removed when a new one is begun.
const KEPT_LOGS: usize = 50;
/// How the names of log files end.
const LOG_SUFFIX: &str = ".log";

/// The file for the log of this run: `--log`, or `$XDG_STATE_HOME/hactl/TIME-VERB-PROCESS.log` (by default below
/// `~/.local/state`, as the XDG base directory specification has it).
///
/// # Errors
/// The folder cannot be made.
pub(super) fn path(global: &GlobalArgs, verb: &str) -> Result<Utf8PathBuf, CommandError> {
    if let Some(path) = &global.log {
        return Ok(path.clone());
    }
    let folder = folder();
    fs::create_dir_all(&folder)
        .map_err(|error| CommandError::local(&format!("cannot create {folder} for the log"), &error))?;
    forget_old(&folder);
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    Ok(folder.join(format!("{time}-{verb}-{}{LOG_SUFFIX}", std::process::id())))
}

fn folder() -> Utf8PathBuf {
    let set =
        |name: &str| std::env::var(name).ok().filter(|value| value.starts_with('/')).map(Utf8PathBuf::from);
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| Utf8PathBuf::from("/var/tmp"))
        .join("hactl")
}

/// Removes all logs but the newest. Their names begin with the time: order by name is order by age. A log that
/// cannot be removed stays, which harms nobody.
fn forget_old(folder: &Utf8Path) {
    let Ok(entries) = folder.read_dir_utf8() else { return };
    let mut logs: Vec<Utf8PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path().to_owned())
        .filter(|path| path.as_str().ends_with(LOG_SUFFIX))
        .collect();
    logs.sort();
    let surplus = (logs.len() + 1).saturating_sub(KEPT_LOGS);
    for log in &logs[..surplus] {
        let _ = fs::remove_file(log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_logs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for number in 0..KEPT_LOGS + 3 {
            fs::write(folder.join(format!("{number:04}-plan.log")), "").unwrap();
        }
        fs::write(folder.join("0000-notes.txt"), "a person's own").unwrap();
        forget_old(folder);
        let left = folder.read_dir_utf8().unwrap().count();
        assert_eq!(left, KEPT_LOGS - 1 + 1, "room for the new log, and the file that is no log");
        assert!(!folder.join("0003-plan.log").exists() && folder.join("0004-plan.log").exists());
        assert!(folder.join("0000-notes.txt").exists());
    }
}
