//! Delivery, loss, duplication, cuts and deaths, over handlers that echo.

use super::*;
use crate::{executor::Executor, trace::Trace};

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7000))
}

/// A network on which node 2 answers with what it is sent and counts its requests.
fn world(seed: u64) -> (Executor, Network, Arc<Mutex<u32>>) {
    let executor = Executor::new(Random::new(seed), Arc::new(Trace::new(None)), 1_000_000);
    let network = Network::new(executor.handle().clone());
    let served = Arc::new(Mutex::new(0));
    let counted = served.clone();
    let handler: Handler = Arc::new(move |_, bytes| {
        *counted.lock() += 1;
        Box::pin(async move { Some(bytes) })
    });
    let group = executor.handle().group();
    network.attach(address(2), 2, group, handler);
    (executor, network, served)
}

const SECOND: Duration = Duration::from_secs(1);

fn ask(network: &Network) -> impl Future<Output = Outcome> + Send + 'static {
    network.call(address(1), address(2), Bytes::from_static(b"hello"), SECOND)
}

#[test]
fn an_answer_comes_back() {
    let (mut executor, network, served) = world(1);
    let outcome = executor.run(ask(&network)).expect("ends");
    assert_eq!(outcome, Ok(Bytes::from_static(b"hello")));
    assert_eq!(*served.lock(), 1);
}

#[test]
fn a_node_that_is_down_is_not_sent_to() {
    let (mut executor, network, served) = world(2);
    network.detach(address(2));
    let outcome = executor.run(ask(&network)).expect("ends");
    assert_eq!(outcome, Err(CallError::NotSent(address(2))));
    assert_eq!(*served.lock(), 0);
}

#[test]
fn each_direction_can_be_cut_alone() {
    for (from, to, expected) in [(1, 2, 0), (2, 1, 1)] {
        let (mut executor, network, served) = world(3);
        network.block(address(from), address(to));
        let outcome = executor.run(ask(&network)).expect("ends");
        assert_eq!(outcome, Err(CallError::Timeout(address(2))));
        assert_eq!(*served.lock(), expected, "from {from} to {to}");
        network.heal();
        assert!(executor.run(ask(&network)).expect("ends").is_ok());
    }
}

#[test]
fn weather_loses_and_doubles() {
    let (mut executor, network, served) = world(4);
    network.set_weather(Weather {
        drop: 300,
        duplicate: 300,
        ..Weather::default()
    });
    let (asking, handle) = (network.clone(), executor.handle().clone());
    let lost = executor.run(async move {
        let mut lost = 0;
        for _ in 0..200 {
            lost += u32::from(ask(&asking).await.is_err());
        }
        // Let the last copies arrive.
        handle.sleep(SECOND).await;
        lost
    });
    let lost = lost.expect("ends");
    assert!((20..180).contains(&lost), "{lost} of 200 calls lost");
    let counts = network.counts();
    assert!(counts.lost > 0 && counts.duplicated > 0, "{counts:?}");
    assert!(u64::from(*served.lock()) > 100);
}

#[test]
fn the_death_of_a_node_breaks_or_loses_its_calls() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..20 {
        let (mut executor, network, _) = world(seed);
        let handle = executor.handle().clone();
        let group = handle.group();
        // A node that never answers.
        network.attach(
            address(2),
            2,
            group,
            Arc::new(|_, _| Box::pin(std::future::pending())),
        );
        let (asking, killer) = (network.clone(), handle.clone());
        handle.spawn(Group::WORLD, async move {
            killer.sleep(SECOND / 2).await;
            killer.kill(group);
            network.detach(address(2));
        });
        let outcome = executor.run(async move { ask(&asking).await }).expect("ends");
        outcomes.insert(format!("{outcome:?}"));
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[test]
fn a_mute_node_neither_hears_nor_speaks() {
    let (mut executor, network, served) = world(5);
    network.mute(address(2));
    assert_eq!(
        executor.run(ask(&network)).expect("ends"),
        Err(CallError::Timeout(address(2)))
    );
    assert_eq!(*served.lock(), 0);
    network.unmute(address(2));
    assert!(executor.run(ask(&network)).expect("ends").is_ok());
}
