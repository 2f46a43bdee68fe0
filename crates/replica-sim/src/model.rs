//! The model of the history: which values each sector may have, given what was asked for and what was answered.
//!
//! A write that was not answered may or may not be there. One that was answered must be there as long as its Primary
//! lives, and under protocol C on a survivor; one that was flushed must be there always; or a write that took its place.
//! Which took whose place is known of the writes of one node, which keep their order, and of those of two nodes when one
//! was answered before the other was asked for. Two that overlapped in time may have come in either order.

use std::collections::BTreeMap;

use crate::disk::Block;

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// It was asked for.
    Asked,
    /// A client was told that it is there: the next flush has to make it so, or fail.
    Claimed,
    /// It may not be lost while the Primary lives.
    Answered,
    /// It may not be lost ever.
    Flushed,
}

/// A value that a sector was given.
#[derive(Debug, Clone, Copy)]
struct Value {
    /// Its number in the sector, rising.
    id: u64,
    value: u64,
    /// Whose client wrote it; none: what was there from the start.
    node: Option<usize>,
    asked: u64,
    /// When it was over: answered, or its node was gone. What is asked for after that comes after it.
    over: Option<u64>,
    level: Level,
}

impl Value {
    /// Whether it certainly took the other's place.
    fn replaces(&self, other: &Self) -> bool {
        let same_node = self.node.is_some() && self.node == other.node;
        self.id != other.id
            && ((same_node && self.id > other.id) || other.over.is_some_and(|over| over < self.asked))
    }
}

/// One sector: the values it may have, and those that say which it may not have any more.
#[derive(Debug, Clone)]
struct Sector {
    values: Vec<Value>,
    next: u64,
}

impl Sector {
    /// Its value is known for sure.
    fn known(value: u64) -> Self {
        let first = Value { id: 0, value, node: None, asked: 0, over: Some(0), level: Level::Flushed };
        Self { values: vec![first], next: 1 }
    }

    fn find(&mut self, id: u64) -> Option<&mut Value> {
        self.values.iter_mut().find(|value| value.id == id)
    }

    /// Whether it may hold this value, as far as the writes go that `vouch`.
    fn may_be(&self, value: u64, vouches: impl Fn(&Value) -> bool) -> bool {
        let replaced = |old: &Value| self.values.iter().any(|new| vouches(new) && new.replaces(old));
        self.values.iter().any(|held| held.value == value && !replaced(held))
    }

    /// Forgets what can never be seen again: a flushed write took its place, before any read that still goes on began.
    fn forget(&mut self, oldest_read: u64) {
        let flushed: Vec<Value> = self
            .values
            .iter()
            .filter(|value| {
                value.level == Level::Flushed && value.over.is_some_and(|over| over < oldest_read)
            })
            .copied()
            .collect();
        self.values.retain(|old| !flushed.iter().any(|new| new.replaces(old)));
    }
}

/// Which promise a takeover is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// All answered writes are there.
    Answered,
    /// All flushed writes are there.
    Flushed,
}

/// Where a write is in the model: block, sector, and its number there.
pub(crate) type Place = (usize, usize, u64);

/// What the volume may hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    sectors: BTreeMap<(usize, usize), Sector>,
    /// Nodes that are gone, since when, as long as the other one has not noticed: what they had sent may still arrive.
    departing: BTreeMap<usize, u64>,
    /// Counts what happened.
    clock: u64,
}

impl Model {
    fn sector(&mut self, at: (usize, usize)) -> &mut Sector {
        self.sectors.entry(at).or_insert_with(|| Sector::known(0))
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A write is asked for at a node.
    pub(crate) fn write(&mut self, node: usize, (index, sector): (usize, usize), value: u64) -> Place {
        let asked = self.tick();
        let state = self.sector((index, sector));
        let id = state.next;
        state.next += 1;
        state.values.push(Value { id, value, node: Some(node), asked, over: None, level: Level::Asked });
        (index, sector, id)
    }

    fn reach(&mut self, places: &[Place], level: Level) {
        let now = self.tick();
        for (index, sector, id) in places {
            if let Some(value) = self.sector((*index, *sector)).find(*id) {
                value.level = value.level.max(level);
                value.over.get_or_insert(now);
            }
        }
    }

    /// A write was answered.
    pub(crate) fn answered(&mut self, places: &[Place]) {
        self.reach(places, Level::Answered);
    }

    /// A write was answered on the word of a disk that has lost its power since.
    pub(crate) fn claimed(&mut self, places: &[Place]) {
        self.reach(places, Level::Claimed);
    }

    /// A node is gone, or parted from the others: what it had asked for and was not answered comes before all that is
    /// asked for from now on, if it comes at all.
    pub(crate) fn close(&mut self, node: usize) {
        self.departs(node);
        self.departure_noticed(node);
    }

    /// The same, but the other node does not know yet, and takes for a while what is still under way.
    pub(crate) fn departs(&mut self, node: usize) {
        let now = self.tick();
        self.departing.insert(node, now);
    }

    /// It knows now, and takes no more.
    pub(crate) fn departure_noticed(&mut self, node: usize) {
        let Some(since) = self.departing.remove(&node) else { return };
        let now = self.tick();
        for value in self.sectors.values_mut().flat_map(|sector| &mut sector.values) {
            if value.node == Some(node) && value.asked <= since {
                value.over.get_or_insert(now);
            }
        }
    }

    fn lower(&mut self, from: Level, to: Level) {
        for value in self.sectors.values_mut().flat_map(|sector| &mut sector.values) {
            if value.level == from {
                value.level = to;
            }
        }
    }

    /// The only good disk crashed under a Primary that works over it: only what was flushed is still promised. The next
    /// flush still has to say so.
    pub(crate) fn only_flushed(&mut self) {
        self.lower(Level::Answered, Level::Claimed);
    }

    /// What this content lacks is no promise any more; without power it may be what is `stable`.
    pub(crate) fn discard_all_but(&mut self, content: &[Block], stable: &[Block]) {
        for ((index, sector), state) in &mut self.sectors {
            let [held, stable] = [content, stable].map(|disk| disk[*index][*sector]);
            let lacked = |lost: &Value| !state.may_be(held, |write| write.id == lost.id);
            if !state.values.iter().any(lacked) {
                continue;
            }
            state.values.iter_mut().for_each(|value| value.level = Level::Asked);
            for (value, level) in [(stable, Level::Asked), (held, Level::Answered)] {
                let known = Value { id: state.next, value, node: None, asked: 0, over: Some(0), level };
                state.values.push(known);
                state.next += 1;
            }
        }
    }

    /// A flush failed: clients know now that what was not flushed may be gone.
    pub(crate) fn flush_failed(&mut self) {
        self.lower(Level::Claimed, Level::Asked);
    }

    /// What a flush that is asked for now covers.
    #[must_use]
    pub(crate) fn flush_begins(&self) -> Vec<Place> {
        let claims = |value: &&Value| matches!(value.level, Level::Claimed | Level::Answered);
        self.sectors
            .iter()
            .flat_map(|((index, sector), state)| {
                state.values.iter().filter(claims).map(|value| (*index, *sector, value.id))
            })
            .collect()
    }

    /// Those of the places that are not flushed yet.
    #[must_use]
    pub(crate) fn advanced(&self, places: &[Place]) -> Vec<Place> {
        let news = |(index, sector, id): &&Place| {
            self.sectors.get(&(*index, *sector)).is_some_and(|state| {
                state.values.iter().any(|value| value.id == *id && value.level < Level::Flushed)
            })
        };
        places.iter().filter(news).copied().collect()
    }

    /// A flush, or a write with FUA, was answered. `oldest_read`: when the oldest read began that is not answered.
    pub(crate) fn flushed(&mut self, places: &[Place], oldest_read: Option<u64>) {
        self.reach(places, Level::Flushed);
        let oldest_read = oldest_read.unwrap_or(self.clock + 1);
        for (index, sector, _) in places {
            self.sector((*index, *sector)).forget(oldest_read);
        }
    }

    /// A read is asked for: when that was.
    pub(crate) fn read_begins(&mut self) -> u64 {
        self.tick()
    }

    /// Whether a read that was asked for then may return this.
    pub(crate) fn may_read(&mut self, index: usize, sector: usize, asked: u64, value: u64) -> bool {
        let vouches =
            |write: &Value| write.level >= Level::Answered && write.over.is_some_and(|at| at <= asked);
        self.sector((index, sector)).may_be(value, vouches)
    }

    /// Whether a disk that holds this value lacks the write: neither is it that one, nor one that may have come after.
    pub(crate) fn lacks(&mut self, (index, sector, id): Place, value: u64) -> bool {
        !self.sector((index, sector)).may_be(value, |write| write.id == id)
    }

    /// What this content may not be, or none.
    #[must_use]
    pub(crate) fn broken_promise(&self, content: &[Block], promise: Promise) -> Option<String> {
        let least = match promise {
            Promise::Answered => Level::Answered,
            Promise::Flushed => Level::Flushed,
        };
        self.sectors.iter().find_map(|((index, sector), state)| {
            let value = content[*index][*sector];
            let kept = state.may_be(value, |write| write.level >= least);
            (!kept).then(|| {
                format!(
                    "block {index} sector {sector} holds {value}, which breaks the promise ({promise:?}) of {:?}",
                    state.values
                )
            })
        })
    }

    /// Somebody takes over with this content. What it may not be, or none; from then on the model knows it for sure.
    pub(crate) fn take_over(&mut self, content: &[Block], promise: Promise) -> Option<String> {
        let problem = self.broken_promise(content, promise);
        for ((index, sector), state) in &mut self.sectors {
            *state = Sector { next: state.next, ..Sector::known(content[*index][*sector]) };
        }
        problem
    }

    /// A line of history of its own begins with this content.
    #[must_use]
    pub(crate) fn fork(content: &[Block]) -> Self {
        let mut model = Self::default();
        for (index, block) in content.iter().enumerate() {
            for (sector, value) in block.iter().enumerate() {
                model.sectors.insert((index, sector), Sector::known(*value));
            }
        }
        model
    }

    /// What a node wrote in another line may still arrive here, until its departure is noticed.
    pub(crate) fn may_still_arrive(&mut self, line: &Self, from: usize) {
        self.clock = self.clock.max(line.clock);
        for (at, sector) in &line.sectors {
            for late in sector.values.iter().filter(|value| value.node == Some(from)) {
                let here = self.sector(*at);
                here.values.push(Value { id: here.next, over: None, level: Level::Asked, ..*late });
                here.next += 1;
            }
        }
        self.departs(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (usize, usize) = (0, 0);

    fn may_be(model: &mut Model, value: u64) -> bool {
        let now = model.read_begins();
        model.may_read(0, 0, now, value)
    }

    #[test]
    fn writes_of_one_node_keep_their_order_and_those_of_two_only_when_one_was_over() {
        let mut model = Model::default();
        let first = model.write(0, AT, 1);
        let second = model.write(0, AT, 2);
        let third = model.write(1, AT, 3);
        model.answered(&[second]);
        model.answered(&[first]);
        assert_eq!([0, 1, 2, 3].map(|value| may_be(&mut model, value)), [false, false, true, true]);
        model.answered(&[third]);
        assert!(may_be(&mut model, 2) && may_be(&mut model, 3), "they overlapped in time: either order");
        let fourth = model.write(1, AT, 4);
        assert!(may_be(&mut model, 2) && may_be(&mut model, 4));
        model.answered(&[fourth]);
        assert_eq!([2, 3, 4].map(|value| may_be(&mut model, value)), [false, false, true]);
    }

    #[test]
    fn a_read_that_began_before_may_see_what_was_there_then() {
        let mut model = Model::default();
        let began = model.read_begins();
        let write = model.write(0, AT, 1);
        model.answered(&[write]);
        model.flushed(&[write], Some(began));
        assert!(model.may_read(0, 0, began, 0) && model.may_read(0, 0, began, 1));
        assert!(!may_be(&mut model, 0));
    }

    #[test]
    fn what_is_lost_with_a_cache_is_claimed_until_a_flush_failed() {
        let mut model = Model::default();
        let write = model.write(0, AT, 1);
        model.answered(&[write]);
        assert!(model.lacks(write, 0) && !model.lacks(write, 1));
        model.only_flushed();
        assert!(may_be(&mut model, 0) && may_be(&mut model, 1));
        assert_eq!(model.flush_begins(), [write]);
        model.flush_failed();
        assert!(model.flush_begins().is_empty());
        model.flushed(&[write], None);
        assert!(!may_be(&mut model, 0));
        assert_eq!(model.broken_promise(&[[1; 8]], Promise::Flushed), None);
        assert!(model.broken_promise(&[[0; 8]], Promise::Flushed).is_some());
    }

    #[test]
    fn what_a_node_that_is_gone_had_under_way_comes_before_what_is_asked_for_later() {
        let mut model = Model::default();
        let _lost = model.write(0, AT, 1);
        model.close(0);
        let later = model.write(1, AT, 2);
        assert!(may_be(&mut model, 1));
        model.answered(&[later]);
        assert!(!may_be(&mut model, 1) && may_be(&mut model, 2));
    }

    #[test]
    fn it_may_still_arrive_until_the_other_has_noticed() {
        let mut model = Model::default();
        let _lost = model.write(0, AT, 1);
        model.departs(0);
        let later = model.write(1, AT, 2);
        model.answered(&[later]);
        assert!(may_be(&mut model, 1) && may_be(&mut model, 2));
        model.departure_noticed(0);
        let last = model.write(1, AT, 3);
        model.answered(&[last]);
        assert!(!may_be(&mut model, 1) && !may_be(&mut model, 2) && may_be(&mut model, 3));
    }
}
