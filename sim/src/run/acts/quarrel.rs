//! The nodes are parted into two sides, and on both the same things are changed in different ways.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::{
    checkers::Violation,
    quarrel::{Quarrel, Subject},
};

/// How many rows there are before, and how many are added on each side.
const ROWS: usize = 6;

/// How long it takes until a node notices who is silent.
const NOTICED: Duration = Duration::from_secs(15);

/// Parts the nodes, lets both sides quarrel about everything there is, and brings them together. One schema and all rows
/// must come of it.
pub(in super::super) async fn quarrel(stage: Stage<'_>) -> Result<(), Violation> {
    let mut nodes = stage.serving();
    if nodes.len() < 2 {
        return Ok(());
    }
    let mut random = stage.handle.fork_random();
    random.shuffle(&mut nodes);
    let (left, right) = nodes.split_at(nodes.len() / 2);
    let mut quarrel = Quarrel::new(stage.handle, stage.cluster, random.fork(), stage.recorder);
    for _ in 0..ROWS {
        quarrel.write(*random.pick(&nodes), Consistency::All).await;
    }
    stage.note("quarrel", || format!("between {left:?} and {right:?}"));
    let network = stage.cluster.network();
    for (one, two) in left
        .iter()
        .flat_map(|one| right.iter().map(move |two| (one, two)))
    {
        let (one, two) = (stage.cluster.address(*one), stage.cluster.address(*two));
        network.block(one, two);
        network.block(two, one);
    }
    // At times both sides know that they are alone, and at times they wait for each other.
    if random.chance(500) {
        stage.handle.sleep(NOTICED).await;
    }
    for subject in Subject::ALL {
        quarrel
            .dispute(subject, *random.pick(left), *random.pick(right))
            .await;
    }
    for _ in 0..ROWS {
        quarrel.write(*random.pick(&nodes), Consistency::One).await;
        quarrel.write(*random.pick(&nodes), Consistency::Quorum).await;
    }
    network.heal();
    stage.heal("a quarrel about the schema").await?;
    for _ in 0..ROWS {
        quarrel.write(*random.pick(&nodes), Consistency::Quorum).await;
    }
    Ok(())
}
