//! Starts programs that outlive this process: in control groups and a network namespace, with a log of what they say.
//!
//! In: groups, a namespace, an argv. Out: a process that nobody has to wait for. Does not wait for anything itself.

use std::ffi::OsString;
use std::path::Path;

use super::cgroup::Group;
use super::error::LabError;
use super::network::namespace_path;
use super::process::Program;

/// Joins the control groups named before `--`, then becomes the command after it. The first argument is the log.
const LAUNCHER: &str = "exec </dev/null >>\"$1\" 2>&1; shift; \
    while [ \"$1\" != -- ]; do echo $$ >\"$1\" || exit 70; shift; done; shift; exec \"$@\"";

/// Starts `argv` in the group (which is made) and in the network namespace of this name.
pub(crate) fn launch<S: Into<OsString>>(
    attempted: impl Into<String>,
    log: &Path,
    group: &Group,
    namespace: &str,
    argv: impl IntoIterator<Item = S>,
) -> Result<(), LabError> {
    Program::new(attempted, ["setsid", "--fork", "sh", "-c", LAUNCHER, "hactl-lab"])
        .arg(log)
        .args(group.create()?)
        .arg("--")
        .arg("nsenter")
        .arg(format!("--net={}", namespace_path(namespace).display()))
        .args(argv)
        .run()
        .map(drop)
}
