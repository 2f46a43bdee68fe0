//! The model of the history: which values each sector may have, given what was asked for and what was answered.
//!
//! A write that was not answered may or may not be there. One that was answered must be there as long as its Primary
//! lives, and under protocol C on a survivor; one that was flushed must be there always.

use std::collections::BTreeMap;

/// One sector: the values it was given since the model last knew it for sure, oldest first.
#[derive(Debug, Clone)]
struct Sector {
    values: Vec<u64>,
    /// No older one than this may be seen while the Primary lives.
    answered: usize,
    /// What clients were told is there: the next flush has to make it so, or fail.
    claimed: usize,
    /// No older one than this may be seen ever.
    flushed: usize,
}

impl Sector {
    /// Its value is known for sure.
    fn known(value: u64) -> Self {
        Self { values: vec![value], answered: 0, claimed: 0, flushed: 0 }
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

/// Where a write is in the model: sector and place in its list.
pub(crate) type Place = (usize, usize, usize);

/// What the volume may hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    sectors: BTreeMap<(usize, usize), Sector>,
}

impl Model {
    fn sector(&mut self, at: (usize, usize)) -> &mut Sector {
        self.sectors.entry(at).or_insert_with(|| Sector::known(0))
    }

    /// A write is asked for.
    pub(crate) fn write(&mut self, index: usize, sector: usize, value: u64) -> Place {
        let state = self.sector((index, sector));
        state.values.push(value);
        (index, sector, state.values.len() - 1)
    }

    /// A write was answered.
    pub(crate) fn answered(&mut self, places: &[Place]) {
        for (index, sector, place) in places {
            let state = self.sector((*index, *sector));
            state.answered = state.answered.max(*place);
            state.claimed = state.claimed.max(*place);
        }
    }

    /// A write was answered on the word of a disk that has lost its power since.
    pub(crate) fn claimed(&mut self, places: &[Place]) {
        for (index, sector, place) in places {
            let state = self.sector((*index, *sector));
            state.claimed = state.claimed.max(*place);
        }
    }

    /// The only good disk crashed under a Primary that works over it: only what was flushed is still promised.
    pub(crate) fn only_flushed(&mut self) {
        for state in self.sectors.values_mut() {
            state.answered = state.flushed;
        }
    }

    /// What a flush that is asked for now covers.
    #[must_use]
    pub(crate) fn flush_begins(&self) -> Vec<Place> {
        self.sectors.iter().map(|((index, sector), state)| (*index, *sector, state.claimed)).collect()
    }

    /// A flush failed: clients know now that what was not flushed may be gone.
    pub(crate) fn flush_failed(&mut self) {
        for state in self.sectors.values_mut() {
            state.claimed = state.answered;
        }
    }

    /// Those of the places that are not flushed yet.
    #[must_use]
    pub(crate) fn advanced(&self, places: &[Place]) -> Vec<Place> {
        let news = |(index, sector, place): &&Place| {
            self.sectors.get(&(*index, *sector)).is_some_and(|state| state.flushed < *place)
        };
        places.iter().filter(news).copied().collect()
    }

    /// A flush, or a write with FUA, was answered.
    pub(crate) fn flushed(&mut self, places: &[Place]) {
        for (index, sector, place) in places {
            let state = self.sector((*index, *sector));
            state.flushed = state.flushed.max(*place);
            state.answered = state.answered.max(*place);
            state.claimed = state.claimed.max(*place);
        }
    }

    /// The oldest place that a read asked for now may return.
    pub(crate) fn read_begins(&mut self, index: usize, sector: usize) -> usize {
        self.sector((index, sector)).answered
    }

    /// Whether a read may return this.
    pub(crate) fn may_read(&mut self, index: usize, sector: usize, from: usize, value: u64) -> bool {
        self.sector((index, sector)).values.get(from..).is_some_and(|values| values.contains(&value))
    }

    /// Somebody takes over with this content. What it may not be, or none; from then on the model knows it for sure.
    pub(crate) fn take_over(
        &mut self,
        content: &[[u64; crate::disk::SECTORS]],
        promise: Promise,
    ) -> Option<String> {
        for ((index, sector), state) in &mut self.sectors {
            let oldest = match promise {
                Promise::Answered => state.answered,
                Promise::Flushed => state.flushed,
            };
            let value = content[*index][*sector];
            if !state.values[oldest..].contains(&value) {
                return Some(format!(
                    "block {index} sector {sector} holds {value}, but must be one of {:?} ({promise:?})",
                    &state.values[oldest..]
                ));
            }
            *state = Sector::known(value);
        }
        None
    }

    /// A line of history of its own begins with this content.
    #[must_use]
    pub(crate) fn fork(content: &[[u64; crate::disk::SECTORS]]) -> Self {
        let mut model = Self::default();
        for (index, block) in content.iter().enumerate() {
            for (sector, value) in block.iter().enumerate() {
                let state = Sector::known(*value);
                model.sectors.insert((index, sector), state);
            }
        }
        model
    }
}
