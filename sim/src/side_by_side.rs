//! Several seeds at once. Each has its cluster, its time and its chance to itself, so they do not notice one another.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

/// Runs `run` for each seed, `jobs` of them at a time, and hands what came of them to `each`, in the order of the seeds.
///
/// A result waits for those of the seeds before it. A panic in `run` ends all of it with a panic.
#[expect(
    clippy::disallowed_methods,
    reason = "these threads are around whole clusters, and none of them is in one"
)]
pub fn in_order<T: Send>(
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    run: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, T),
) {
    let next = AtomicU64::new(seeds.start);
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            let (done, next, run, end) = (done.clone(), &next, &run, seeds.end);
            scope.spawn(move || {
                let take = |seed| (seed < end).then(|| seed + 1);
                while let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                    if done.send((seed, run(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut due = seeds.start;
        for (seed, result) in results {
            early.insert(seed, result);
            while let Some(result) = early.remove(&due) {
                each(due, result);
                due += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds_and_each_once() {
        let jobs = NonZeroUsize::new(3).unwrap();
        // The first of three seeds ends only when the others have begun.
        let barrier = Barrier::new(3);
        let mut seen = Vec::new();
        in_order(
            10..40,
            jobs,
            |seed| {
                barrier.wait();
                seed * 2
            },
            |seed, twice| seen.push((seed, twice)),
        );
        let expected: Vec<(u64, u64)> = (10..40).map(|seed| (seed, seed * 2)).collect();
        assert_eq!(seen, expected);
    }
}
