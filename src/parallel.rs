//! Pure work on many things that have nothing to do with each other, on all processors.
//!
//! In: things and a function. Out: its results in the order of the things, whoever worked on which. Never used for what
//! waits: connections and commands are the business of the asynchronous runtime.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the function makes of each thing, in the order of the things.
pub fn map<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(things.len());
    if workers < 2 {
        return things.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(index) else { return done };
            done.push((index, work(thing)));
        }
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(share)).collect();
        let mut all = share();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                // A defect in the function: it ends this thread as it would have without any others.
                Err(defect) => std::panic::resume_unwind(defect),
            }
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_things_however_long_each_takes() {
        let things: Vec<u64> = (0..200).collect();
        let slow_first = |thing: &u64| {
            let spins = if thing.is_multiple_of(7) { 20_000 } else { 10 };
            (0..spins).fold(*thing, |sum, _| std::hint::black_box(sum));
            thing * 2
        };
        assert_eq!(map(&things, slow_first), things.iter().map(|thing| thing * 2).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_and_one_thing_need_no_helpers() {
        assert_eq!(map(&[], |thing: &u8| *thing), Vec::<u8>::new());
        assert_eq!(map(&[7], |thing: &u8| thing + 1), [8]);
    }

    #[test]
    #[should_panic(expected = "the fifth")]
    fn a_defect_in_the_function_is_not_swallowed() {
        map(&[1, 2, 3, 4, 5, 6, 7, 8], |thing: &u8| assert!(*thing != 5, "the fifth"));
    }
}
