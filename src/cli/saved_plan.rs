//! A plan in a file: written by `plan -o`, read and checked by `apply PLAN`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use serde::Deserialize;

use super::{CommandError, ExitCode};
use crate::plan::{PLAN_FORMAT, Plan};

/// Largest plan that is read, in bytes: far more than a thousand nodes need.
const MAX_PLAN_BYTES: u64 = 256 * 1024 * 1024;

/// Writes a plan so that the file is either the old one or the whole new one, readable by its owner only (it holds
/// configuration).
///
/// # Errors
/// The file cannot be written.
pub(super) fn save(plan: &Plan, path: &Utf8Path) -> Result<(), CommandError> {
    let failed =
        |error: std::io::Error| CommandError::local(&format!("cannot write the plan to {path}"), &error);
    let text = serde_json::to_string_pretty(plan)
        .map_err(|error| CommandError::local("cannot write the plan as JSON", &error))?;
    let temporary = Utf8Path::new(path.as_str()).with_file_name(format!(
        ".{}.{}.tmp",
        path.file_name().unwrap_or("plan"),
        std::process::id()
    ));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

/// Reads a plan.
///
/// # Errors
/// The file cannot be read or is no plan (a usage error), or it is one of another version (stale).
pub(super) fn load(path: &Utf8Path) -> Result<Plan, CommandError> {
    let unreadable = |problem: String| CommandError::new(ExitCode::Usage, problem);
    let size = fs::metadata(path)
        .map_err(|error| unreadable(format!("cannot read the plan {path}: {error}")))?
        .len();
    if size > MAX_PLAN_BYTES {
        return Err(unreadable(format!("{path} is no plan: it has more than {MAX_PLAN_BYTES} bytes")));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| unreadable(format!("cannot read the plan {path}: {error}")))?;
    parse(&text).map_err(|problem| match problem {
        Unusable::NoPlan(why) => unreadable(format!("{path} is no plan of hactl: {why}")),
        Unusable::Format(format) => {
            let problem = format!("{path} has format {format}; this hactl reads format {PLAN_FORMAT}");
            CommandError::new(ExitCode::Stale, problem).advice("plan again with this hactl")
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    NoPlan(String),
    Format(u32),
}

fn parse(text: &str) -> Result<Plan, Unusable> {
    /// The part of the document that every version has.
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let versioned: Versioned =
        serde_json::from_str(text).map_err(|error| Unusable::NoPlan(error.to_string()))?;
    if versioned.format != PLAN_FORMAT {
        return Err(Unusable::Format(versioned.format));
    }
    serde_json::from_str(text).map_err(|error| Unusable::NoPlan(error.to_string()))
}

/// Why a saved plan must not be carried out any more, if so: `now` is what would be planned now.
///
/// # Errors
/// They differ, in words.
pub(super) fn check_current(saved: &Plan, now: &Plan) -> Result<(), CommandError> {
    let difference = if saved.inventory != now.inventory {
        "the inventory has changed since".to_owned()
    } else if saved.hactl != now.hactl {
        format!("it was made by hactl {}, and this is {}", saved.hactl, now.hactl)
    } else if let Some(step) = saved.steps.iter().find(|step| !now.steps.contains(step)) {
        format!("{} on {} is not what is needed any more", step.action, step.node)
    } else if let Some(step) = now.steps.iter().find(|step| !saved.steps.contains(step)) {
        format!("{} on {} is needed too by now", step.action, step.node)
    } else if saved.steps != now.steps {
        "the order of its steps is another one by now".to_owned()
    } else {
        return Ok(());
    };
    let problem = format!("the saved plan is stale: {difference}; nothing was changed");
    Err(CommandError::new(ExitCode::Stale, problem).advice("plan again and review what is different"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Digest;
    use crate::names::NodeName;
    use crate::plan::{Action, Check, Guard, Risk, Step, StepId};
    use crate::resource::ResourceId;

    fn plan(modules: &[&str]) -> Plan {
        let node = NodeName::new("alpha").unwrap();
        let steps = modules.iter().map(|name| {
            let resource = ResourceId::on_node("module", name, &node);
            Step {
                id: StepId::new(&resource, "load", &node),
                resource,
                node: node.clone(),
                action: Action::LoadModule { name: (*name).to_owned() },
                guard: Guard::Always,
                risk: Risk::Safe,
                after: Vec::new(),
                proof: Check::Done,
            }
        });
        Plan {
            format: PLAN_FORMAT,
            hactl: "0.1.0".to_owned(),
            inventory: Digest::of(b"inventory"),
            changes: Vec::new(),
            steps: steps.collect(),
            blocked: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_was_saved_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("plan.json");
        save(&plan(&["drbd"]), &path).unwrap();
        assert_eq!(load(&path).unwrap(), plan(&["drbd"]));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "no temporary file is left");
        save(&plan(&[]), &path).unwrap();
        assert_eq!(load(&path).unwrap(), plan(&[]), "a second plan replaces the first");
    }

    #[test]
    fn what_is_no_plan_or_of_another_version_is_told_apart() {
        assert!(matches!(parse("hello"), Err(Unusable::NoPlan(_))));
        assert!(matches!(parse("{\"format\": 1}"), Err(Unusable::NoPlan(_))));
        assert_eq!(parse("{\"format\": 99, \"steps\": \"other\"}"), Err(Unusable::Format(99)));
    }

    #[test]
    fn a_stale_plan_is_refused_with_the_difference() {
        assert!(check_current(&plan(&["drbd"]), &plan(&["drbd"])).is_ok());
        let text = |saved: &Plan, now: &Plan| {
            let error = check_current(saved, now).unwrap_err();
            assert_eq!(error.code(), ExitCode::Stale);
            error.text(crate::ui::Theme::new(false))
        };
        let gone = text(&plan(&["drbd", "nbd"]), &plan(&["drbd"]));
        assert!(gone.contains("load kernel module nbd on alpha is not what is needed any more"), "{gone}");
        let new = text(&plan(&["drbd"]), &plan(&["drbd", "nbd"]));
        assert!(new.contains("load kernel module nbd on alpha is needed too by now"), "{new}");
        let mut other = plan(&["drbd"]);
        other.inventory = Digest::of(b"edited");
        assert!(text(&plan(&["drbd"]), &other).contains("the inventory has changed since"));
    }
}
