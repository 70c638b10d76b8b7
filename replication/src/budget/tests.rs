use std::{pin::pin, task::Poll};

use futures::{FutureExt, executor::block_on, future::join_all};
use proptest::prelude::*;

use super::*;

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    pin!(future).now_or_never()
}

#[test]
fn what_is_dropped_is_given_back() {
    let pool = Pool::new(100, 100);
    let a = now(pool.take(60)).unwrap();
    assert_eq!(pool.held(), 60);
    assert!(pool.try_take(41).is_none());
    drop(a);
    assert_eq!((pool.held(), pool.peak()), (0, 60));
}

#[test]
fn turns_come_in_the_order_of_asking_and_nobody_overtakes() {
    let pool = Pool::new(100, 100);
    let first = now(pool.take(80)).unwrap();
    let mut large = Box::pin(pool.take(90));
    assert!((&mut large).now_or_never().is_none());
    // There would be room for this one, but it came later.
    let mut little = Box::pin(pool.take(10));
    assert!((&mut little).now_or_never().is_none());
    assert_eq!((pool.waiting(), pool.waits()), (2, 2));
    drop(first);
    assert_eq!(large.now_or_never().unwrap().bytes(), 90);
    assert_eq!(little.now_or_never().unwrap().bytes(), 10);
    assert_eq!(pool.held(), 0);
}

#[test]
fn who_gives_up_leaves_its_turn_to_the_next() {
    let pool = Pool::new(100, 100);
    let first = now(pool.take(80)).unwrap();
    let mut gone = Box::pin(pool.take(90));
    assert!((&mut gone).now_or_never().is_none());
    let mut next = Box::pin(pool.take(50));
    assert!((&mut next).now_or_never().is_none());
    drop(gone);
    drop(first);
    let charge = next.now_or_never().unwrap();
    assert_eq!((charge.bytes(), pool.held(), pool.waiting()), (50, 50, 0));
}

#[test]
fn a_turn_that_comes_to_who_has_just_given_up_is_passed_on() {
    let pool = Pool::new(100, 100);
    let first = now(pool.take(100)).unwrap();
    let mut granted = Box::pin(pool.take(100));
    assert!((&mut granted).now_or_never().is_none());
    let mut next = Box::pin(pool.take(100));
    assert!((&mut next).now_or_never().is_none());
    drop(first);
    // The turn is on its way to it, and it is dropped unseen.
    drop(granted);
    assert_eq!(next.now_or_never().unwrap().bytes(), 100);
    assert_eq!(pool.held(), 0);
}

#[test]
fn those_behind_one_who_gives_up_need_not_wait_for_room_that_is_there() {
    let pool = Pool::new(100, 100);
    let _long = now(pool.take(80)).unwrap();
    let mut gone = Box::pin(pool.take(90));
    assert!((&mut gone).now_or_never().is_none());
    let mut next = Box::pin(pool.take(20));
    assert!((&mut next).now_or_never().is_none());
    drop(gone);
    assert!(
        next.now_or_never().is_some(),
        "nothing was given back, and yet there is room"
    );
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn of_those_that_hold_and_wait_the_oldest_goes_on_and_one_at_a_time() {
    let pool = Pool::new(100, 100);
    let (old, young) = (pool.claim(), pool.claim());
    let first = now(pool.take_for(young, 50)).unwrap();
    let second = now(pool.take_for(old, 50)).unwrap();
    let mut more_of_young = Box::pin(pool.take_for(young, 60));
    assert!(
        (&mut more_of_young).now_or_never().is_some(),
        "nobody else holds and waits"
    );
    drop((first, more_of_young));
    let first = now(pool.take_for(young, 50)).unwrap();
    let mut stranger = Box::pin(pool.take(10));
    assert!(
        (&mut stranger).now_or_never().is_none(),
        "who holds nothing waits for room"
    );
    let more_of_old = now(pool.take_for(old, 60)).expect("it holds a part");
    let again = now(pool.take_for(old, 60)).expect("also what it asks for later");
    let mut more_of_young = Box::pin(pool.take_for(young, 60));
    assert!((&mut more_of_young).now_or_never().is_none(), "one at a time");
    assert_eq!(pool.held(), 220);
    drop((second, more_of_old));
    assert!(
        (&mut more_of_young).now_or_never().is_none(),
        "it still holds something"
    );
    drop(again);
    assert!(
        (&mut more_of_young).now_or_never().is_some(),
        "now it is the next one's turn"
    );
    drop((first, more_of_young));
    assert!(stranger.now_or_never().is_some());
    assert_eq!(pool.held(), 0);
}

/// Each holds a part and needs two more, of which there is room for none.
#[test]
fn many_that_hold_and_wait_all_get_on() {
    let pool = Pool::new(100, 100);
    let work = |claim: Claim| {
        let pool = pool.clone();
        async move {
            let mut parts = Vec::new();
            for _ in 0..3 {
                parts.push(pool.take_for(claim, 10).await);
                // The others get as far.
                let mut yielded = false;
                std::future::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
        }
    };
    block_on(join_all((0..50).map(|_| work(pool.claim()))));
    assert_eq!((pool.held(), pool.waiting()), (0, 0));
    assert!(pool.peak() <= 100 + 20, "{}", pool.peak());
}

#[test]
fn small_things_find_room_beside_those_who_wait() {
    let pool = Pool::new(100, 75);
    let _flood = now(pool.take(70)).unwrap();
    assert!(now(pool.take(10)).is_none());
    assert!(pool.try_take(10).is_some());
    assert!(pool.try_take(31).is_none());
}

#[test]
fn what_is_larger_than_all_is_let_in_alone() {
    let pool = Pool::new(100, 75);
    let giant = now(pool.take(1000)).unwrap();
    assert!(now(pool.take(1)).is_none());
    drop(giant);
    let small = now(pool.take(1)).unwrap();
    assert!(now(pool.take(1000)).is_none());
    drop(small);
    assert_eq!(pool.held(), 0);
}

#[test]
fn a_debt_is_paid_before_others_get_in() {
    let pool = Pool::new(100, 100);
    let mut mine = now(pool.take(90)).unwrap();
    mine.resize(150);
    let debt = pool.owe(50);
    assert_eq!(pool.held(), 200);
    drop(debt);
    let mut other = Box::pin(pool.take(20));
    assert!((&mut other).now_or_never().is_none());
    mine.resize(80);
    assert_eq!(other.now_or_never().unwrap().bytes(), 20);
}

#[test]
fn held_bytes_give_back_with_their_last_reference() {
    let pool = Pool::new(100, 100);
    let bytes = hold(Bytes::from_static(b"0123456789"), pool.owe(10));
    let part = bytes.slice(2..4);
    drop(bytes);
    assert_eq!((&part[..], pool.held()), (&b"23"[..], 10));
    drop(part);
    assert_eq!(pool.held(), 0);
}

#[test]
fn a_budget_gives_away_what_it_has() {
    let budget = Budget::new(256 << 20);
    assert_eq!(budget.limit(), 256 << 20);
    let _a = budget.pages.owe(5);
    let _b = budget.requests.owe(6);
    assert_eq!(budget.held(), 11);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "that a pool may be shared by threads is what is tested"
)]
fn threads_that_take_and_give_back_leave_nothing_behind() {
    let pool = Pool::new(1000, 800);
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..500usize {
                    let charges = [1 + (n * 7 + thread) % 300];
                    let all = block_on(join_all(charges.map(|bytes| pool.take(bytes))));
                    assert!(pool.held() <= 800);
                    drop(all);
                }
            });
        }
    });
    assert_eq!((pool.held(), pool.waiting()), (0, 0));
    assert!(pool.peak() <= 800);
}

proptest! {
    /// Whatever is asked, given up and given back: nobody who waits fits, all who hold are counted, and the
    /// pool is never above what waiting may fill, unless by a single one.
    #[test]
    fn the_books_balance(steps in prop::collection::vec((0..3u8, 1..120usize), 1..60)) {
        let pool = Pool::new(100, 80);
        let mut held = Vec::new();
        let mut waiting: Vec<std::pin::Pin<Box<dyn Future<Output = Charge>>>> = Vec::new();
        for (what, n) in steps {
            match what {
                0 => {
                    let pool = pool.clone();
                    waiting.push(Box::pin(async move { pool.take(n).await }));
                }
                1 if !held.is_empty() => drop(held.swap_remove(n % held.len())),
                2 if !waiting.is_empty() => drop(waiting.remove(n % waiting.len())),
                _ => {}
            }
            waiting = waiting
                .into_iter()
                .filter_map(|mut one| match (&mut one).now_or_never() {
                    Some(charge) => { held.push(charge); None }
                    None => Some(one),
                })
                .collect();
            let sum: usize = held.iter().map(Charge::bytes).sum();
            prop_assert_eq!(pool.held(), sum);
            prop_assert!(sum <= 80 || held.len() == 1);
            prop_assert!(!held.is_empty() || waiting.is_empty());
        }
        drop((held, waiting));
        prop_assert_eq!(pool.held(), 0);
    }
}
