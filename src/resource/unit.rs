//! A systemd unit: whether it starts at boot, whether it runs, whether it has read its configuration.

use camino::Utf8PathBuf;

use super::{Change, DiffContext, Resource, ResourceId, Steps};
use crate::facts::{Observation, Query, UnitState};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Check, Risk, StepId, UnitVerb};

/// Where unit files of the administrator's own are (systemd.unit(5)).
pub(super) const UNIT_FILES: &str = "/etc/systemd/system";

/// Whether a unit starts at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootState {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It does not, and nobody else starts it either: it may just as well be masked.
    Never,
    /// As it is.
    Any,
}

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It does.
    Running,
    /// It does not.
    Stopped,
    /// As it is: somebody else (Pacemaker) decides.
    Any,
}

/// A unit in the state that is wanted.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name in plans.
    pub id: ResourceId,
    /// What must come first.
    pub requires: Vec<ResourceId>,
    /// On which node.
    pub node: NodeName,
    /// Its name with suffix.
    pub unit: String,
    /// At boot.
    pub boot: BootState,
    /// Now.
    pub run: RunState,
    /// Packages that keep it masked while they are installed.
    pub held_by: Option<ResourceId>,
    /// Files that it must have read since they were changed, with the resources that manage them.
    pub reads: Vec<(Utf8PathBuf, ResourceId)>,
    /// How it reads them again: reload or restart.
    pub reread: UnitVerb,
}

impl Unit {
    fn query(&self) -> Query {
        Query::Unit { name: self.unit.clone() }
    }

    fn blocked(&self, reason: String, advice: &str) -> Blocked {
        Blocked {
            resource: self.id.clone(),
            node: Some(self.node.clone()),
            reason,
            advice: advice.to_owned(),
        }
    }

    fn state(&self, context: &DiffContext<'_>) -> Result<UnitState, Blocked> {
        match context.observed(&self.node, &self.query()) {
            Observation::Unit(state) => Ok(state),
            Observation::Unknown(why) => {
                let reason = format!("the state of {} could not be learned: {why}", self.unit);
                Err(self.blocked(reason, "see why and run again"))
            }
            _ => Err(self
                .blocked(format!("{} was not looked at as a unit", self.unit), "this is a defect of hactl")),
        }
    }

    /// Why the unit has not read its files, if it has not.
    fn stale_because(&self, state: &UnitState, context: &DiffContext<'_>) -> Option<String> {
        if state.active_state != "active" {
            return None;
        }
        self.reads.iter().find_map(|(path, resource)| {
            if context.pending.contains(resource) {
                return Some(format!("{path} changes"));
            }
            let query = Query::File { path: path.clone(), text: false };
            match context.observed(&self.node, &query) {
                Observation::File(Some(file)) if file.modified_us > state.since_us => {
                    Some(format!("{path} is newer than what it runs with"))
                }
                _ => None,
            }
        })
    }

    fn boot_step(&self, state: &UnitState, fresh: bool) -> Option<UnitVerb> {
        let file_state = state.unit_file_state.as_str();
        match self.boot {
            BootState::Enabled if fresh || matches!(file_state, "disabled" | "") => Some(UnitVerb::Enable),
            BootState::Disabled | BootState::Never
                if fresh || matches!(file_state, "enabled" | "enabled-runtime") =>
            {
                Some(UnitVerb::Disable)
            }
            _ => None,
        }
    }

    fn run_step(&self, state: &UnitState) -> Option<UnitVerb> {
        let active = state.active_state == "active" || state.active_state == "reloading";
        match self.run {
            RunState::Running if !active => Some(UnitVerb::Start),
            RunState::Stopped if active => Some(UnitVerb::Stop),
            _ => None,
        }
    }
}

impl Resource for Unit {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn requires(&self) -> &[ResourceId] {
        &self.requires
    }

    fn queries(&self) -> Vec<(NodeName, Query)> {
        let files = self.reads.iter().map(|(path, _)| Query::File { path: path.clone(), text: false });
        std::iter::once(self.query()).chain(files).map(|query| (self.node.clone(), query)).collect()
    }

    fn diff(&self, context: &DiffContext<'_>) -> Result<Change, Blocked> {
        let state = self.state(context)?;
        let held = self.held_by.as_ref().is_some_and(|packages| context.pending.contains(packages));
        // Masked until the next boot: what the package's installation wanted of the unit shows only afterwards.
        let fresh = held || state.unit_file_state == "masked-runtime";
        if state.load_state == "not-found" && !held {
            let packages_first = self.requires.iter().any(|id| context.pending.contains(id));
            if matches!(self.boot, BootState::Disabled | BootState::Never) && self.run != RunState::Running {
                return Ok(Change::None);
            }
            if !packages_first {
                let reason = format!("unit {} does not exist on the node", self.unit);
                return Err(
                    self.blocked(reason, "name the package that brings it, or correct the unit's name")
                );
            }
        }
        if state.unit_file_state == "masked" && self.boot == BootState::Never && self.run != RunState::Running
        {
            return Ok(Change::None);
        }
        if state.unit_file_state == "masked" {
            let reason = format!("unit {} is masked on the node", self.unit);
            return Err(
                self.blocked(reason, "somebody masked it on purpose: `systemctl unmask` it if that is over")
            );
        }
        let mut verbs = Vec::new();
        if fresh {
            verbs.push(UnitVerb::Unmask);
        }
        verbs.extend(self.boot_step(&state, fresh));
        let run = self.run_step(&state);
        verbs.extend(run);
        let stale = if run.is_none() { self.stale_because(&state, context) } else { None };
        verbs.extend(stale.is_some().then_some(self.reread));
        Ok(self.change(&state, &verbs, stale))
    }
}

impl Unit {
    fn change(&self, state: &UnitState, verbs: &[UnitVerb], stale: Option<String>) -> Change {
        let mut steps = Steps::of(&self.id);
        let mut after: Vec<StepId> = Vec::new();
        // systemd goes by what it read last: a unit file of ours may have changed since, in this run or in one that was
        // killed before it told systemd.
        let runs = |verb: &UnitVerb| matches!(verb, UnitVerb::Start | UnitVerb::Restart | UnitVerb::Reload);
        if verbs.iter().any(runs) && self.reads.iter().any(|(path, _)| path.starts_with(UNIT_FILES)) {
            after = vec![steps.push(&self.node, "daemon-reload", Action::ReloadUnitFiles, &after)];
        }
        for verb in verbs {
            let action = Action::Unit { unit: self.unit.clone(), verb: *verb };
            let step = steps.push(&self.node, verb.word(), action, &after);
            // Whether it starts at the next boot is nothing that its start has to wait for.
            if *verb != UnitVerb::Enable {
                after = vec![step];
            }
            match verb {
                UnitVerb::Start | UnitVerb::Restart | UnitVerb::Reload => {
                    steps.proof(Check::UnitActive { unit: self.unit.clone(), active: true });
                }
                UnitVerb::Stop => steps.proof(Check::UnitActive { unit: self.unit.clone(), active: false }),
                UnitVerb::Enable | UnitVerb::Disable | UnitVerb::Unmask => {}
            }
            if matches!(verb, UnitVerb::Stop | UnitVerb::Restart) {
                steps.risk(Risk::Disruptive(vec![format!("{} on {}", self.unit, self.node)]));
            }
        }
        let words: Vec<&str> = verbs.iter().map(|verb| verb.word()).collect();
        let why = stale.map(|why| format!(" ({why})")).unwrap_or_default();
        // systemd knows no state of a unit that no package has brought yet.
        let boot = if state.load_state == "not-found" { "not installed" } else { &state.unit_file_state };
        let diff =
            format!("-{0} is {1}, {boot}\n+{0}: {2}\n", self.unit, state.active_state, words.join(", "));
        steps.change(format!("{} {}{why}", words.join(", "), self.unit), diff)
    }
}
