//! Several seeds at once. Each has its cluster, its time and its chance to itself, so they do not notice one another.

use std::{
    any::Any,
    collections::BTreeMap,
    num::NonZeroUsize,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

/// Runs `run` for each seed, `jobs` of them at a time, and hands what came of them to `each`, in the order of the seeds.
///
/// A result waits for those of the seeds before it. Of a seed whose `run` panics the text of the panic is handed over, and the
/// others go on. (A panic while another one unwinds ends the process, as everywhere.)
#[expect(
    clippy::disallowed_methods,
    reason = "these threads are around whole clusters, and none of them is in one"
)]
pub fn in_order<T: Send>(
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    run: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, Result<T, String>),
) {
    let next = AtomicU64::new(seeds.start);
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            let (done, next, run, end) = (done.clone(), &next, &run, seeds.end);
            scope.spawn(move || {
                let take = |seed| (seed < end).then(|| seed + 1);
                while let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                    // What is left of a run that panicked is dropped with it: seeds share nothing.
                    let result = catch_unwind(AssertUnwindSafe(|| run(seed)));
                    let result = result.map_err(|panic| panic_text(&*panic));
                    if done.send((seed, result)).is_err() {
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

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a panic without a message".to_owned())
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
        let expected: Vec<_> = (10..40).map(|seed| (seed, Ok(seed * 2))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_seed_that_panics_fails_and_the_others_go_on() {
        for jobs in [1, 3] {
            let mut seen = Vec::new();
            in_order(
                0..30,
                NonZeroUsize::new(jobs).unwrap(),
                |seed| {
                    assert!(seed % 10 != 3, "seed {seed} is wrong");
                    seed
                },
                |seed, result| seen.push((seed, result)),
            );
            let expected = (0..30).map(|seed| match seed % 10 {
                3 => (seed, Err(format!("seed {seed} is wrong"))),
                _ => (seed, Ok(seed)),
            });
            assert_eq!(seen, expected.collect::<Vec<_>>());
        }
    }
}
