//! The process that serves a volume: started by its unit where there is one, and ended.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use replicad::control::{CallError, Connection, Verb as Order};
use replicad::volume::clear_leftovers;

use super::replica::{Here, Which, failed};
use super::{CommandError, Console, ExitCode};

/// How long a process that was started may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const START_POLL: Duration = Duration::from_millis(50);

/// Starts the volume's process if it does not run, attaches and connects.
///
/// # Errors
/// The volume's file is wrong, its process does not come up, or the order is refused.
pub(super) fn up(here: &Here, console: &Console) -> Result<ExitCode, CommandError> {
    if Connection::open(&here.which.paths().control()).is_err() {
        // A mistake in the file is told here, not in a log.
        here.settings()?;
        match unit(here) {
            Some(unit) => start_unit(&unit)?,
            None => start(here)?,
        }
    }
    here.which.order(console, Order::Up)
}

/// Ends the volume's process. Without one nothing is left to be done but what a process that was killed could not do.
///
/// # Errors
/// There is no such volume, or it is in use.
pub(super) fn down(which: &Which, console: &Console) -> Result<ExitCode, CommandError> {
    let paths = which.paths();
    match Connection::open(&paths.control()) {
        Err(CallError::NotRunning { source, .. }) if nobody_is_there(&source) && paths.are_of_a_volume() => {
            clear_leftovers(&which.name, &paths).map_err(|error| failed(&which.name, &error))?;
            console.tell(&format!("{}: is down; its process does not run\n", which.name));
            Ok(ExitCode::Done)
        }
        _ => which.order(console, Order::Down),
    }
}

fn nobody_is_there(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// The unit that is there for the volume's process, if this is about the usual files.
fn unit(here: &Here) -> Option<String> {
    if here.node.is_some() || here.which.config.is_some() || here.which.run_dir.is_some() {
        return None;
    }
    let unit = format!("hactl-replica@{}.service", here.which.name);
    let known = Command::new("systemctl").args(["cat", "--", &unit]).output();
    known.is_ok_and(|known| known.status.success()).then_some(unit)
}

/// Has the service manager start the volume's process: it answers when this returns.
fn start_unit(unit: &str) -> Result<(), CommandError> {
    let started = Command::new("systemctl").args(["start", "--", unit]).output();
    let started = started.map_err(|error| failed("cannot run systemctl", &error))?;
    if started.status.success() {
        return Ok(());
    }
    let problem = format!("{unit} did not start: {}", String::from_utf8_lossy(&started.stderr).trim());
    Err(CommandError::new(ExitCode::Failed, problem)
        .advice(format!("what its process said is in journalctl -u {unit}")))
}

/// Starts the volume's process without a unit; it outlives this one. What it says goes to a file beside its sockets.
fn start(here: &Here) -> Result<(), CommandError> {
    use std::os::unix::process::CommandExt as _;
    let paths = here.which.paths();
    let log = paths.run.join("log");
    let opened = std::fs::create_dir_all(&paths.run)
        .and_then(|()| std::fs::OpenOptions::new().create(true).append(true).open(&log))
        .map_err(|error| failed(&format!("cannot write {}", log.display()), &error))?;
    let program = std::env::current_exe().map_err(|error| failed("cannot find this program", &error))?;
    let mut command = Command::new(program);
    command.args(["replica", "serve", &here.which.name]);
    let flags = [
        ("--config", here.which.config.as_deref()),
        ("--run-dir", here.which.run_dir.as_deref()),
        ("--node", here.node.as_deref().map(Path::new)),
    ];
    for (flag, value) in flags {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(opened).process_group(0);
    let mut process = command.spawn().map_err(|error| failed("cannot start the volume's process", &error))?;
    let deadline = Instant::now() + START_TIMEOUT;
    while Connection::open(&paths.control()).is_err() {
        let ended = process.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() >= deadline {
            let problem = format!("{}: the volume's process did not come up", here.which.name);
            return Err(CommandError::new(ExitCode::Failed, problem)
                .advice(format!("what it said is in {}", log.display())));
        }
        std::thread::sleep(START_POLL);
    }
    Ok(())
}
