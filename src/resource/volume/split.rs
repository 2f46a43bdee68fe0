//! Split brain: both sides went on by themselves. Nothing is decided here; what a person decided is carried out.

use std::collections::BTreeMap;

use super::form::CONNECT_LIMIT;
use super::replicated::ReplicatedVolume;
use super::seen::Side;
use crate::drbd::{Generations, VolumeStatus};
use crate::names::NodeName;
use crate::plan::{Action, Blocked, Risk, VolumeGoal, VolumeVerb};
use crate::resource::{Change, Steps};

impl ReplicatedVolume {
    /// What is to be done about a split brain: `None` where there is none.
    ///
    /// # Errors
    /// There is one, and the inventory does not say whose changes are given up, or says it of other ones.
    pub(super) fn resolve_split(&self, sides: &BTreeMap<&NodeName, Side>) -> Result<Option<Change>, Blocked> {
        let data: Vec<(&NodeName, &Side, &Generations)> =
            sides.iter().filter_map(|(node, side)| Some((*node, side, side.generations()?))).collect();
        let [(_, first, one), (_, second, other)] = data.as_slice() else { return Ok(None) };
        let connected = |side: &Side| side.status.as_ref().is_some_and(VolumeStatus::is_connected);
        if !one.diverged(other) || connected(first) || connected(second) {
            return Ok(None);
        }
        let told: Vec<String> =
            data.iter().map(|(node, side, generations)| words(node, side, generations)).collect();
        let found = format!(
            "split brain: both sides changed the volume while they did not see each other. {}",
            told.join(". ")
        );
        let Some(discard) = &self.discard else {
            let choices: Vec<String> = data
                .iter()
                .map(|(node, _, generations)| {
                    format!("  discard: {{ node: {node}, generation: {} }}", generations.current_word())
                })
                .collect();
            let advice = format!(
                "look at the data of both; then say at the volume `{}` whose changes are lost, and apply:\n{}",
                self.volume.name,
                choices.join("\n")
            );
            return Err(self.blocked(None, found, advice));
        };
        let Some((victim, side, generations)) = data.iter().find(|(node, _, _)| **node == discard.node)
        else {
            return Err(self.blocked(None, found, "`discard` names a node without the volume"));
        };
        if !generations.current_word().eq_ignore_ascii_case(&discard.generation) {
            let advice = format!(
                "`discard` names the generation {}, and {victim} has {} now: look again, and say that one if its changes \
                 may be lost",
                discard.generation,
                generations.current_word()
            );
            return Err(self.blocked(Some(victim), found, advice));
        }
        if side.status.as_ref().is_some_and(VolumeStatus::is_primary) {
            let reason = format!("{victim} is to lose its changes, but it is Primary");
            let advice = format!(
                "stop what runs on it there (`crm_resource --ban --resource {} --node {victim}`), then apply again",
                self.volume.name
            );
            return Err(self.blocked(Some(victim), reason, advice));
        }
        Ok(Some(self.give_up(victim, generations)))
    }

    /// The victim forgets its changes and takes the other side's.
    fn give_up(&self, victim: &NodeName, generations: &Generations) -> Change {
        let mut steps = Steps::of(&self.id);
        let word = generations.current_word();
        let verb = VolumeVerb::DiscardMyData { generation: word.clone() };
        let mut last = vec![self.verb(&mut steps, victim, verb, &[])];
        steps.risk(Risk::Destroys(format!(
            "the changes of generation {word} of volume {} ({victim})",
            self.volume.name
        )));
        if let Some(survivor) = self.peer(victim) {
            last = vec![self.verb(&mut steps, survivor, VolumeVerb::Connect, &last)];
        }
        let wait = Action::wait(self.goal(VolumeGoal::Connected), CONNECT_LIMIT);
        steps.push(victim, "connected", wait, &last);
        let summary = format!("volume {}: give up the changes of {victim}", self.volume.name);
        steps.change(summary, format!("-generation {word} on {victim}\n"))
    }
}

/// One side for people.
fn words(node: &NodeName, side: &Side, generations: &Generations) -> String {
    let state = match &side.status {
        Some(status) => format!("{}, {}, {}", status.role, status.disk, status.connection),
        None => "down".to_owned(),
    };
    let users = if side.observed.users.is_empty() {
        String::new()
    } else {
        format!(", {}", side.observed.users.join(", "))
    };
    format!("{node} ({state}{users}) has generation {}", generations.current_word())
}
