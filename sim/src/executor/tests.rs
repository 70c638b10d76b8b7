//! Virtual time, random order, groups, and that all of it is the seed's choice.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

fn executor(seed: u64) -> Executor {
    Executor::new(Random::new(seed), Arc::new(Trace::new(None)), 100_000)
}

#[test]
fn time_jumps_to_the_next_timer() {
    let mut executor = executor(1);
    let handle = executor.handle().clone();
    let slept = executor.run(async move {
        let start = handle.now();
        handle.sleep(Duration::from_secs(4000)).await;
        handle.now().saturating_sub(start)
    });
    let slept = slept.expect("ends");
    assert!(slept >= Duration::from_secs(4000) && slept < Duration::from_secs(4001));
}

/// The order in which ten equal tasks run.
fn order(seed: u64) -> Vec<u32> {
    let mut executor = executor(seed);
    let handle = executor.handle().clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for number in 0..10 {
        let seen = seen.clone();
        handle.spawn(Group::WORLD, async move { seen.lock().push(number) });
    }
    executor
        .run(async move { handle.sleep(Duration::from_secs(1)).await })
        .expect("ends");
    let seen = seen.lock();
    seen.clone()
}

#[test]
fn the_seed_chooses_the_order() {
    assert_eq!(order(5), order(5));
    assert!((0..5).any(|seed| order(seed) != order(5)));
}

#[test]
fn killing_a_group_drops_its_tasks_and_refuses_new_ones() {
    struct Dropped(Arc<Mutex<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock() += 1;
        }
    }
    let mut executor = executor(2);
    let handle = executor.handle().clone();
    let drops = Arc::new(Mutex::new(0));
    let counted = drops.clone();
    let left = executor.run(async move {
        let group = handle.group();
        for _ in 0..3 {
            let (guard, inner) = (Dropped(counted.clone()), handle.clone());
            handle.spawn(group, async move {
                let _guard = guard;
                inner.sleep(Duration::from_secs(1000)).await;
            });
        }
        handle.sleep(Duration::from_secs(1)).await;
        handle.kill(group);
        let guard = Dropped(counted);
        handle.spawn(group, async move { drop(guard) });
        handle.tasks()
    });
    assert_eq!(left, Ok(1), "only the main task is left");
    assert_eq!(*drops.lock(), 4);
}

#[test]
fn tasks_that_wait_for_each_other_are_a_deadlock() {
    let mut executor = executor(3);
    let (sender, receiver) = oneshot::channel::<()>();
    let result = executor.run(async move {
        let value = receiver.await;
        drop(sender);
        value
    });
    assert!(matches!(result, Err(Stuck::Deadlock(_))));
}

#[test]
fn tasks_that_wake_themselves_for_ever_spend_the_budget() {
    let mut executor = executor(4);
    let result = executor.run(std::future::poll_fn(|context: &mut Context<'_>| {
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    assert!(matches!(result, Err(Stuck::Budget { .. })));
}

#[test]
fn a_dropped_sender_ends_the_receiver() {
    let mut executor = executor(6);
    let (sender, receiver) = oneshot::channel::<u32>();
    let second = sender.clone();
    executor.handle().spawn(Group::WORLD, async move { drop(sender) });
    executor
        .handle()
        .spawn(Group::WORLD, async move { second.send(7) });
    assert_eq!(executor.run(receiver), Ok(Some(7)));
    let (sender, receiver) = oneshot::channel::<u32>();
    executor.handle().spawn(Group::WORLD, async move { drop(sender) });
    assert_eq!(executor.run(receiver), Ok(None));
}

#[test]
fn a_signal_between_look_and_await_is_not_missed() {
    let mut executor = executor(8);
    let signal = Arc::new(signal::Signal::default());
    let raised = executor.run(async move {
        let wait = signal.wait();
        signal.raise();
        wait.await;
        true
    });
    assert_eq!(raised, Ok(true));
}

#[test]
fn the_first_of_two_wins() {
    let mut executor = executor(9);
    let handle = executor.handle().clone();
    let result = executor.run(async move {
        let fast = handle.sleep(Duration::from_millis(1));
        let slow = handle.sleep(Duration::from_millis(2));
        first(slow, fast).await
    });
    assert_eq!(result, Ok(First::Right(())));
}
