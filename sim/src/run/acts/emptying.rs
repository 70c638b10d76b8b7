//! A table is truncated while writes and reads of it are on their way: what was acknowledged before must not come back.
//!
//! Messages get lost as rows are added, so that hints are due for them when the table is truncated; then messages are late, and
//! come twice, so that writes and repairs come after it; and a read meets replicas of which some are truncated.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::{
    checkers::{Promise, Violation},
    executor::Group,
    network::Weather,
    run::violation,
};

/// How often it is done, and how many rows are added each time.
const ROUNDS: usize = 3;
const ROWS: usize = 6;

/// How often a truncation is tried, and the pause between.
const ATTEMPTS: usize = 8;
const PAUSE: Duration = Duration::from_secs(2);

/// By then everything has come that was on its way, and hints are delivered.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Some rows are on their way for seconds.
const LATE: Weather = Weather {
    fastest: Duration::from_micros(50),
    slowest: Duration::from_millis(2),
    late: 150,
    tail: Duration::from_millis(1500),
    drop: 0,
    duplicate: 200,
    refuse: 0,
};

/// Some of their messages are lost, besides.
const LOSSY: Weather = Weather { drop: 80, ..LATE };

/// Adds rows, truncates the table while some are under way and some are read, and reads it.
pub(in super::super) async fn empty(stage: Stage<'_>) -> Result<(), Violation> {
    let emptied = play(stage).await;
    stage.cluster.network().set_weather(Weather::default());
    // What is left of it under way does not meet what comes next.
    stage.handle.sleep(AFTERMATH).await;
    emptied
}

async fn play(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    let mut random = stage.handle.fork_random();
    let mut client = stage.client();
    let network = stage.cluster.network();
    for _ in 0..ROUNDS {
        network.set_weather(LOSSY);
        for _ in 0..ROWS {
            client.add(*random.pick(&nodes), Consistency::Quorum).await;
        }
        network.set_weather(LATE);
        let mut emptied = false;
        for _ in 0..ATTEMPTS {
            for level in [Consistency::All, Consistency::Quorum] {
                let (node, mut reader) = (*random.pick(&nodes), stage.client());
                stage.handle.spawn(Group::WORLD, async move {
                    reader.read_cleared(node, level).await;
                });
            }
            emptied = client.truncate(*random.pick(&nodes)).await;
            if emptied {
                break;
            }
            stage.handle.sleep(PAUSE).await;
        }
        if !emptied {
            let text = "a table can't be truncated after healing".to_owned();
            return Err(violation(Promise::Recovery, text));
        }
        stage.handle.sleep(AFTERMATH).await;
        for node in &nodes {
            client.read_cleared(*node, Consistency::One).await;
        }
        client.read_cleared(*random.pick(&nodes), Consistency::All).await;
    }
    Ok(())
}
