//! What several nodes store rots in one night, and nobody is told.
//!
//! Before it one node misses writes, so that not every replica has all; and everything is compacted, so that no deletion is in
//! another file than what it covers: one that only a damaged block held, and that the others have purged, would be nobody's.
//! No token is damaged on more replicas than the others can bear (`coordinator/heal.rs` in `replication`): of three on one, so
//! that each gives back what the other lacks; of five on two. So everything must come back by itself, also as nodes die and join
//! meanwhile. Where two of three lose the same an operator has to accept it; then nobody misses a write, and the third has all.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::{Consistency, TableId, TokenRange, TokenSet};
use starling_replication::Store;

use super::{PATIENCE, Stage};
use crate::{
    checkers::{Promise, Violation},
    cluster::Role,
    executor::Group,
    random::Random,
    run::{
        verdict::{TABLES, table_id},
        violation,
    },
    workload::Client,
};

/// How many nodes rot, at least and at most.
const FEWEST: usize = 2;
const MOST: usize = 3;

/// How many bits of each are tried, and how many of them first where blocks have few tokens.
const ATTEMPTS: usize = 12;
const NARROW: usize = 10;

/// How many writes a node misses before.
const MISSED: usize = 12;

/// How many clients there are meanwhile, half of whom write, and the longest pause of each.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(200);

/// The latest moment at which somebody dies as the others heal, and the longest time until it is back.
const LATEST: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_secs(3);

/// The pause between two looks for damage.
const LOOK: Duration = Duration::from_secs(1);

/// Lets two or three nodes rot while they are down, and waits until nothing is damaged any more.
pub(in super::super) async fn decay(stage: Stage<'_>) -> Result<(), Violation> {
    let cluster = stage.cluster;
    forget_what_rotted(stage).await?;
    compact(stage).await?;
    stage.recorder.forget_timestamps();
    let mut random = stage.handle.fork_random();
    let mut nodes = stage.serving();
    random.shuffle(&mut nodes);
    let factors = stage.space.factors;
    let bears = if factors.bear_rot_and_death() { 2 } else { 1 };
    let accepts = bears == 1 && factors.datacenters() == 1 && random.chance(300);
    let overlap = if accepts { 2 } else { bears };
    if !accepts {
        let lonely = nodes[nodes.len() - 1];
        miss_writes(stage, lonely, &nodes[..nodes.len() - 1]).await?;
    }
    let count = FEWEST + random.index(MOST - FEWEST + 1);
    let victims = &nodes[..count.min(nodes.len())];
    for victim in victims {
        cluster.kill(*victim);
    }
    for attempt in 0..ATTEMPTS {
        // Little at a time, so that there is something left for the others.
        let most = if attempt < NARROW { u64::MAX / 3 } else { u64::MAX };
        for victim in victims {
            let may = |tokens: TokenRange| {
                TokenSet::from(tokens).width() <= most && cluster.rotted_elsewhere(*victim, tokens) < overlap
            };
            if cluster.disk(*victim).rot_table(&mut random, may) {
                stage.note("decay", || format!("of what n{victim} stores"));
            }
        }
    }
    for victim in victims {
        stage.start(*victim).await;
    }
    cluster.network().heal();
    let over = Arc::new(Mutex::new(false));
    for number in 0..CLIENTS {
        let client = stage.client();
        let writes = number % 2 == 0;
        // Whoever reads wants to see what those show that rotted.
        let asked = if writes { &nodes[..] } else { victims };
        let work = keep_busy(client, asked.to_vec(), writes, over.clone());
        stage.handle.spawn(Group::WORLD, work);
    }
    meet(stage).await;
    let mended = upset(stage, &mut random, (victims, accepts)).await;
    *over.lock() = true;
    mended?;
    stage.heal("decay").await?;
    let healed = cluster.serving();
    let healed = healed.iter().map(|(_, node)| node.status().counters.healed);
    stage.recorder.healed(healed.sum());
    let mut client = stage.client();
    for partition in 0..stage.space.partitions {
        client.look_at(*random.pick(victims), partition).await;
    }
    forget_what_rotted(stage).await
}

/// All goes to files, and what is deleted there is gone from the files.
async fn compact(stage: Stage<'_>) -> Result<(), Violation> {
    let tables = tables(stage).await;
    for (_, store) in stage.stores() {
        store.flush_all();
    }
    await_work(stage, &[]).await?;
    stage.compact(&TABLES).await;
    await_work(stage, &tables).await
}

/// Waits until nothing is left of what was asked for.
async fn await_work(stage: Stage<'_>, tables: &[TableId]) -> Result<(), Violation> {
    let end = stage.handle.now() + PATIENCE;
    loop {
        let left = stage
            .stores()
            .iter()
            .map(|(_, store)| store.left_to_do(tables))
            .sum::<u64>();
        if left == 0 {
            return Ok(());
        }
        if stage.handle.now() > end {
            let text = format!("flushes or compactions do not end: {left} are left");
            return Err(violation(Promise::Recovery, text));
        }
        stage.handle.sleep(LOOK).await;
    }
}

/// One node is cut off while others write at QUORUM, and all of that goes to files. The caller heals the network.
async fn miss_writes(stage: Stage<'_>, lonely: usize, others: &[usize]) -> Result<(), Violation> {
    stage.note("miss", || format!("n{lonely} is cut off"));
    stage.cut_off(lonely);
    let mut client = stage.client();
    for _ in 0..MISSED {
        let node = client.pick(others, PAUSE).await;
        client.write_at(node, Consistency::Quorum).await;
    }
    for (_, store) in stage.stores() {
        store.flush_all();
    }
    await_work(stage, &[]).await
}

/// While damage is mended somebody dies, and a node may join.
async fn upset(
    stage: Stage<'_>,
    random: &mut Random,
    (victims, accepts): (&[usize], bool),
) -> Result<(), Violation> {
    let cluster = stage.cluster;
    let spares = cluster.with_role(Role::Spare);
    // Where two die for good later, two are kept for their places.
    let kept = if stage.space.factors.bear_rot_and_death() {
        2
    } else {
        0
    };
    if let Some(joiner) = spares.get(kept).filter(|_| random.chance(700)) {
        cluster.set_role(*joiner, Role::Resident);
        stage.start(*joiner).await;
    }
    stage.handle.sleep(random.between(Duration::ZERO, LATEST)).await;
    if random.chance(700) {
        let nodes = if random.chance(500) {
            victims.to_vec()
        } else {
            stage.serving()
        };
        let mortal = *random.pick(&nodes);
        if random.chance(500) {
            cluster.kill(mortal);
        } else {
            cluster.crash(mortal);
        }
        stage.handle.sleep(random.between(Duration::ZERO, AWAY)).await;
        stage.start(mortal).await;
    }
    if !accepts {
        return await_mended(stage).await;
    }
    let end = stage.handle.now() + PATIENCE;
    while !damage(stage).await.is_empty() && stage.handle.now() < end {
        for victim in victims {
            for table in for_operator(stage, *victim) {
                let Some(name) = table.split_once('.') else {
                    continue;
                };
                let outcome = cluster.accept_loss(*victim, name, PATIENCE).await;
                stage.note("accept", || format!("n{victim} {table}: {outcome:?}"));
            }
        }
        stage.handle.sleep(LOOK).await;
    }
    await_mended(stage).await
}

/// Waits until no node has damage that it knows of, and each can read all that it stores.
pub(in super::super) async fn await_mended(stage: Stage<'_>) -> Result<(), Violation> {
    let end = stage.handle.now() + PATIENCE;
    loop {
        meet(stage).await;
        let damage = damage(stage).await;
        if damage.is_empty() {
            return Ok(());
        }
        if stage.handle.now() > end {
            let text = format!("damage is not mended: {}", damage.join("; "));
            return Err(violation(Promise::Mending, text));
        }
        stage.handle.sleep(LOOK).await;
    }
}

/// Waits until all is mended that is known, and opens anew what may hide more, as it was before: from now on anything may rot.
async fn forget_what_rotted(stage: Stage<'_>) -> Result<(), Violation> {
    let cluster = stage.cluster;
    let mut rotten: Vec<usize> = (0..cluster.len()).collect();
    rotten.retain(|number| !cluster.disk(*number).rotted().is_empty());
    if rotten.is_empty() {
        return Ok(());
    }
    await_mended(stage).await?;
    let residents = cluster.residents();
    for number in rotten {
        if residents.contains(&number) {
            cluster.kill(number);
        }
        cluster.disk(number).forget_rot();
        stage.start(number).await;
    }
    stage.heal("files were opened anew").await?;
    await_mended(stage).await
}

/// Reads all that each node stores: what is damaged is met.
async fn meet(stage: Stage<'_>) {
    for table in tables(stage).await {
        for (_, store) in stage.stores() {
            // What it can't read it knows from now on.
            drop(store.dump(table));
        }
    }
}

/// The tables of which a node says that something waits for an operator there.
fn for_operator(stage: Stage<'_>, number: usize) -> BTreeSet<String> {
    let told = stage.cluster.status(number).map(|status| status.damage.stretches);
    let told = told.unwrap_or_default().into_iter();
    told.filter(|stretch| stretch.for_operator)
        .map(|stretch| stretch.table)
        .collect()
}

/// What is damaged where, as the nodes tell it. Of tables that were dropped nobody has to tell anything.
async fn damage(stage: Stage<'_>) -> Vec<String> {
    let cluster = stage.cluster;
    let tables = tables(stage).await;
    let mut all = Vec::new();
    if tables.len() < TABLES.len() {
        all.push("the tables are not known".to_owned());
    }
    for number in cluster.residents() {
        let (Some(store), Some(node)) = (cluster.store(number), cluster.node(number)) else {
            // Who has left is not asked.
            if cluster.role(number) == Role::Resident {
                all.push(format!("n{number} is down"));
            }
            continue;
        };
        let schema = node.schema();
        let damaged = store.damaged().await.unwrap_or_default();
        let damaged = damaged
            .iter()
            .filter(|piece| schema.table_by_id(piece.table).is_some());
        all.extend(damaged.map(|piece| format!("n{number} {piece:?}")));
        let unread = tables.iter().filter_map(|table| store.dump(*table).err());
        all.extend(unread.map(|error| format!("n{number} {error}")));
        let told = node.status().damage.stretches.into_iter();
        let told = told.filter(|stretch| stretch.table.contains('.'));
        all.extend(told.map(|stretch| format!("n{number} waits: {stretch:?}")));
    }
    all
}

async fn tables(stage: Stage<'_>) -> Vec<TableId> {
    let mut tables = Vec::new();
    for name in TABLES {
        tables.extend(table_id(stage.cluster, name).await.ok());
    }
    tables
}

/// Writes at QUORUM, or reads at ONE, until it is over. What was seen at ALL before is to be seen at ONE, and no read may repair it.
async fn keep_busy(mut client: Client, nodes: Vec<usize>, writes: bool, over: Arc<Mutex<bool>>) {
    while !*over.lock() {
        let node = client.pick(&nodes, PAUSE).await;
        if writes {
            client.write_at(node, Consistency::Quorum).await;
        } else {
            client.glance_somewhere(node).await;
        }
    }
}
