//! From arguments to a verb and from its end to an exit code.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use super::{
    Arguments, CommandError, Console, ExitCode, ValidateArgs, Verb, apply, barclamp, claims, completions,
    destroy, discover, drift, init, lab, man, plan, replica, status, validate, verify,
};
use crate::barclamp::Registry;
use crate::pipeline::{PipelineError, Prepared};
use crate::ui::Surroundings;

/// The command line's definition, for completion, manual pages and tests.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Does what the arguments (program name first) say; everything is told when it returns.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let console = Console::new(&arguments.global);
    match dispatch(arguments, &console) {
        Ok(code) => code,
        Err(error) => {
            console.tell(&error.text(console.err()));
            error.code()
        }
    }
}

fn dispatch(arguments: Arguments, console: &Console) -> Result<ExitCode, CommandError> {
    let global = &arguments.global;
    match arguments.verb {
        Verb::Init(verb) => init::run(&verb, console),
        Verb::Validate(verb) => validated(&verb, console),
        Verb::Discover(verb) => wait_for(verb.nodes.time_limit(), discover::run(&verb, console, global)),
        Verb::Plan(verb) => wait_for(verb.nodes.time_limit(), plan::run(&verb, console, global)),
        Verb::Apply(verb) => wait_for(verb.nodes.time_limit(), apply::run(&verb, console, global)),
        Verb::Verify(verb) => wait_for(verb.nodes.time_limit(), verify::run(&verb, console, global)),
        Verb::Status(verb) => wait_for(verb.nodes.time_limit(), status::run(&verb, console, global)),
        Verb::Drift(verb) => wait_for(verb.nodes.time_limit(), drift::run(&verb, console, global)),
        Verb::Claims(verb) => wait_for(verb.time_limit(), claims::run(&verb, console, global)),
        Verb::Destroy(verb) => wait_for(verb.nodes.time_limit(), destroy::run(&verb, console, global)),
        Verb::Replica(verb) => replica::run(&verb, console),
        Verb::Lab(verb) => Ok(lab::run(verb).map(|_| ExitCode::Done)?),
        Verb::Barclamp(verb) => barclamp::run(&verb, console),
        Verb::Completions(verb) => completions::run(&verb, console).map(|()| ExitCode::Done),
        Verb::Man(verb) => man::run(&verb, console).map(|()| ExitCode::Done),
    }
}

/// `validate` with what the barclamps say of their attributes.
fn validated(verb: &ValidateArgs, console: &Console) -> Result<ExitCode, CommandError> {
    let registry = Registry::load(&verb.barclamps).map_err(PipelineError::Barclamps)?;
    // Checked once: the registry goes into what is prepared.
    let registry = Cell::new(Some(registry));
    validate::run(verb, console, &|loaded| {
        let Some(registry) = registry.take() else { return Vec::new() };
        match Prepared::new(loaded.clone(), registry) {
            Err(PipelineError::Inventory(error)) => error.diagnostics,
            _ => Vec::new(),
        }
    })
}

/// Runs a verb that contacts nodes to its end, or to the end of the time that it may take. What it had begun then is in
/// the same state as after a kill: the next run completes it.
fn wait_for(
    limit: Option<Duration>,
    verb: impl Future<Output = Result<ExitCode, CommandError>>,
) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::local("cannot start the runtime", &error))?;
    let ended = runtime.block_on(async {
        match limit {
            None => verb.await,
            Some(limit) => match tokio::time::timeout(limit, verb).await {
                Ok(ended) => ended,
                Err(_) => Err(PipelineError::Timeout(limit.as_secs()).into()),
            },
        }
    });
    // What is still going on then (a name that is being looked up) must not keep the process.
    runtime.shutdown_background();
    ended
}

/// What clap has to say: help and version are results, everything else is a mistake in the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    let surroundings = Surroundings::detect();
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let styled = !surroundings.plain
        && if asked_for { surroundings.stdout_terminal } else { surroundings.stderr_terminal };
    let text = error.render();
    let text = if styled { text.ansi().to_string() } else { text.to_string() };
    // Whether a stream that is gone takes the text or not changes nothing: nobody is left to tell.
    if asked_for {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        ExitCode::Done
    } else {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::Usage
    }
}
