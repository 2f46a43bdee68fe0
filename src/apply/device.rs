//! Commands that write to a block device, and only while it is what the plan says.
//!
//! In: a guard, what writes, as shell. Out: one command that looks at the device and then writes, so that nothing comes
//! between. Every action that writes to a device goes through [`write`]; there is no other way to one.

use std::time::Duration;

use super::run::{Run, StepError, tail};
use crate::claims::recheck;
use crate::discovery::{self, holders_command, holders_text, parse_holders};
use crate::engine::VolumeId;
use crate::facts::StableId;
use crate::plan::{DeviceGuard, Guard, Step, VolumeTarget};
use crate::transport::{Command, ExitStatus, Output, Transport};

/// What the looks below are made of.
const FUNCTIONS: &str = include_str!("device_functions.sh");
/// The arguments of what looks at a volume: name, minor, path of the claimed device.
const VOLUME_ARGUMENTS: &str = "name=$1 minor=$2 path=$3\nshift 3";
/// What looks at a replicated volume; the engine's functions stand before it, and what changes the volume behind it.
const LOOK_AT_VOLUME: &str = include_str!("volume.sh");
/// What looks at the device; what writes is put behind it.
const LOOK: &str = include_str!("device.sh");
/// How the script says that something does not hold any more.
const EXIT_CHANGED: u32 = 79;
/// What begins the line on stderr that says what.
const CHANGED: &str = "hactl-guard: ";
/// What begins the line on stdout that names a device that is held open.
const HELD: &str = "hactl-held: ";
/// How long looking at a device may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks at the device without writing: at everything that was looked at when the plan was made, by the same means, and
/// then as the command that writes will.
///
/// # Errors
/// It is not what the plan says, or it could not be looked at.
pub(super) async fn check(guard: &DeviceGuard, step: &Step, run: &Run) -> Result<(), StepError> {
    let transport = run.transport(&step.node)?;
    let now = discovery::base_now(transport.as_ref()).await?;
    let devices = now
        .block_devices
        .as_result()
        .map_err(|why| changed(format!("the block devices of the node could not be looked at: {why}")))?;
    recheck(guard, devices).map_err(changed)?;
    let output = transport.exec(&command(guard, "", &[], LOOK_TIMEOUT)).await?;
    judged(&output, &held_by(transport.as_ref(), &output).await, changed)
}

/// Who holds the device open that this output complains of, in words that can follow a reason. Empty when it complains of
/// none, or nobody is found: what failed is told anyway.
async fn held_by(transport: &dyn Transport, output: &Output) -> String {
    let said = output.stdout_text();
    let Some(device) = said.lines().find_map(|line| line.strip_prefix(HELD)) else { return String::new() };
    match transport.exec(&holders_command(device.into())).await {
        Ok(holders) if holders.status.success() => {
            let text = holders_text(&parse_holders(&holders.stdout_text()));
            if text.is_empty() { text } else { format!("; held open: {text}") }
        }
        Ok(holders) => format!("; who holds it open could not be learned: {}", tail(&holders)),
        Err(error) => format!("; who holds it open could not be learned: {error}"),
    }
}

fn changed(reason: String) -> StepError {
    StepError::guarded(
        reason,
        "the device changed after the plan was made, and nothing was written to it: see `hactl discover`, then plan again",
    )
}

/// Looks at the device that the step's guard names, and writes to it with this shell, which finds its device node in
/// `$dev` and these arguments in `$@`.
///
/// # Errors
/// It is not what the plan says (nothing was written then), or what writes refused.
pub(super) async fn write(
    step: &Step,
    run: &Run,
    writer: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<(), StepError> {
    let Guard::Device(guard) = &step.guard else {
        return Err(StepError::failed(
            format!("`{}` has no device to look at before it writes", step.action),
            "this is a defect of hactl; nothing was written",
        ));
    };
    let output = run.exec(&step.node, &command(guard, writer, arguments, limit)).await?;
    let held = held_by(run.transport(&step.node)?.as_ref(), &output).await;
    judged(&output, &held, changed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(StepError::failed(
        format!("`{}` ended with {}: {}{held}", step.action, output.status, tail(&output)),
        "see what the tool says of the device; hactl forces nothing. Running again goes on from here",
    ))
}

/// Looks whether the volume is the one that is meant, on the claimed device, and does with this shell what is to be done: it
/// finds the device node of the volume in `$dev`, `role`, `connection` and `disks` as functions, and these arguments in
/// `$@`.
///
/// # Errors
/// It is not as the plan says (nothing was done then), or what was to be done was refused.
pub(super) async fn volume(
    step: &Step,
    run: &Run,
    target: &VolumeTarget,
    writer: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<(), StepError> {
    let VolumeId { engine, name, minor } = &target.volume;
    let (begin, functions) = (VOLUME_ARGUMENTS, engine.functions());
    let script = format!("{FUNCTIONS}\n{begin}\n{functions}\n{LOOK_AT_VOLUME}\n{writer}\n");
    let minor = minor.to_string();
    let fixed = ["/bin/sh", "-c", &script, "hactl", name, &minor, &target.path];
    let command = Command::new(fixed.iter().chain(arguments).copied()).timeout(limit);
    let output = run.exec(&step.node, &command).await?;
    let held = held_by(run.transport(&step.node)?.as_ref(), &output).await;
    judged(&output, &held, changed_volume)?;
    if output.status.success() {
        return Ok(());
    }
    Err(StepError::failed(
        format!("`{}` ended with {}: {}{held}", step.action, output.status, tail(&output)),
        format!(
            "see what is said of it in {} on the node; hactl forces nothing. Running again goes on from here",
            engine.log(name)
        ),
    ))
}

fn changed_volume(reason: String) -> StepError {
    StepError::guarded(
        reason,
        "the volume is not as it was when the plan was made, and nothing was done to it: plan again",
    )
}

/// The script with its arguments.
fn command(guard: &DeviceGuard, writer: &str, arguments: &[&str], limit: Duration) -> Command {
    let (by, identity, model) = match &guard.identity {
        StableId::Wwn { wwn } => ("wwn", wwn.as_str(), ""),
        StableId::Serial { model, serial } => ("serial", serial.as_str(), model.as_str()),
        StableId::Path { link } => ("path", link.as_str(), ""),
        StableId::Unstable { path } => ("unstable", path.as_str(), ""),
    };
    let size = guard.size_bytes.to_string();
    let holds = guard.holds.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let script = format!("{FUNCTIONS}\n{LOOK}\n{writer}\n");
    let fixed = ["/bin/sh", "-c", &script, "hactl", &guard.path, by, identity, model, &size, &holds];
    Command::new(fixed.iter().chain(arguments).copied()).timeout(limit)
}

/// Whether the device or volume was what the plan says when it was looked at; `held` follows the reason.
fn judged(output: &Output, held: &str, changed: fn(String) -> StepError) -> Result<(), StepError> {
    if output.status != ExitStatus::Code(EXIT_CHANGED) {
        return Ok(());
    }
    let said = output.stderr_text();
    match said.lines().find_map(|line| line.strip_prefix(CHANGED)) {
        Some(reason) => Err(changed(format!("{reason}{held}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command as Local;

    use super::*;

    fn guard(path: &str) -> DeviceGuard {
        DeviceGuard {
            path: path.to_owned(),
            identity: StableId::Unstable { path: path.to_owned() },
            size_bytes: 1,
            holds: BTreeSet::new(),
        }
    }

    /// Runs the command here, with a writer that says that it was reached.
    fn ran(guard: &DeviceGuard) -> (Option<i32>, String, String) {
        let command = command(guard, "echo written", &[], LOOK_TIMEOUT);
        let output = Local::new(&command.argv[0]).args(&command.argv[1..]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn what_is_no_device_is_never_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for (path, reason) in [
            (folder.path().join("absent"), "is gone"),
            (file, "is no block device"),
            ("/dev/null".into(), "is no block device"),
            (folder.path().join("it's; echo written \"$(echo x)\""), "is gone"),
        ] {
            let (code, out, err) = ran(&guard(path.to_str().unwrap()));
            assert_eq!((code, out.as_str()), (Some(79), ""), "{err}");
            assert!(err.starts_with(CHANGED) && err.contains(reason), "{err}");
        }
    }
}
