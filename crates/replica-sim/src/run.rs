//! One run, from a seed to a verdict.

use std::time::Duration;

use thiserror::Error;

use crate::scenario::Scenario;
use crate::world::World;

/// How long a cluster may take to come to rest once the faults are over.
const REST: Duration = Duration::from_secs(60);
/// Answered writes that it has to carry out at rest.
const WRITES_AT_REST: u64 = 20;
/// Most steps of a run; more means that something spins.
const MAX_STEPS: u64 = 2_000_000;

/// What a run showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Steps taken.
    pub steps: u64,
    /// Writes answered.
    pub writes: u64,
    /// How often a Primary went Ahead of its peer.
    pub ahead: u64,
    /// How often a node became Primary beside another.
    pub joined: u64,
    /// How often one of two Primaries went on without the other.
    pub parted: u64,
    /// Writes that were asked for while the other Primary's was under way to the same place.
    pub met: u64,
}

impl Summary {
    /// Adds what another run showed.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.writes += other.writes;
        self.ahead += other.ahead;
        self.joined += other.joined;
        self.parted += other.parted;
        self.met += other.met;
    }
}

/// A property was broken.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("seed {seed}, after {steps} steps, at {seconds:.6} s: {what}")]
pub struct Failure {
    /// The seed that shows it again.
    pub seed: u64,
    /// After how many steps.
    pub steps: u64,
    /// When, in the run.
    pub seconds: f64,
    /// What.
    pub what: String,
}

/// Runs one seed.
///
/// # Errors
/// A checker found something.
pub fn run(seed: u64, trace: bool) -> Result<Summary, Failure> {
    let scenario = Scenario::of_seed(seed);
    let length = scenario.length;
    let mut world = World::new(scenario, seed, trace);
    world.say(|| format!("{:?}", world.scenario));
    world.begin();
    let end = replica::Time::default().after(length);
    let failure = |world: &World, what: String| Failure {
        seed,
        steps: world.steps,
        seconds: world.now.0 as f64 / 1e9,
        what,
    };
    let mut rest: Option<(replica::Time, u64)> = None;
    while world.steps < MAX_STEPS {
        if !world.step() {
            let what = world.violation.clone().unwrap_or_else(|| "nothing is left to happen".to_owned());
            return Err(failure(&world, what));
        }
        match rest {
            None if world.now >= end => {
                world.calm_down();
                rest = Some((world.now.after(REST), world.history.total));
            }
            Some((_, before)) if world.is_well() && world.history.total >= before + WRITES_AT_REST => {
                return Ok(Summary {
                    steps: world.steps,
                    writes: world.history.total,
                    ahead: world.ahead,
                    joined: world.joined,
                    parted: world.parted,
                    met: world.history.met,
                });
            }
            Some((deadline, _)) if world.now > deadline => {
                return Err(failure(&world, "the cluster does not come to rest".to_owned()));
            }
            _ => {}
        }
    }
    Err(failure(&world, format!("more than {MAX_STEPS} steps")))
}
