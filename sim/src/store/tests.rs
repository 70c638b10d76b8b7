//! The real engine against a disk that loses power: what was acknowledged is there, nothing else is.

use std::collections::BTreeMap;

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, Expiry, Limits, Marker,
    Mutation, Partition, PartitionPage, Position, RangeTombstone, Row, Seconds, Timestamp, TokenRange,
};

use super::*;
use crate::{
    executor::{Executor, oneshot},
    trace::Trace,
};

const TABLES: u64 = 2;
const KEYS: u64 = 6;
const ROWS: u64 = 10;

fn table(random: &mut Random) -> TableId {
    TableId(u128::from(random.below(TABLES)) + 1)
}

fn key(number: u64) -> DecoratedKey {
    DecoratedKey {
        token: Token(((number * (u64::MAX / KEYS)) as i64).wrapping_add(12345)),
        key: Bytes::copy_from_slice(&number.to_be_bytes()[7..]),
    }
}

fn clustering(number: u64) -> Bytes {
    Bytes::copy_from_slice(&[0x40, number as u8, 0, 0])
}

fn row(random: &mut Random, timestamp: Timestamp) -> Row {
    let mut row = Row::default();
    if random.chance(300) {
        let expiry = random.chance(200).then_some(Expiry {
            at: Seconds(9),
            ttl: 3,
        });
        row.marker = Some(Marker { timestamp, expiry });
    }
    if random.chance(100) {
        row.deletion = Some(Deletion {
            timestamp: Timestamp(timestamp.0 - 1),
            at: Seconds(5),
        });
    }
    for column in 1..=random.below(4) as u32 {
        let value = if random.chance(200) {
            CellValue::Tombstone(Seconds(5))
        } else {
            let length = random.index(40);
            CellValue::Live {
                value: Bytes::from(vec![random.bits() as u8; length]),
                expiry: None,
            }
        };
        row.add(Cell {
            column: ColumnId(column),
            path: random
                .chance(300)
                .then(|| Bytes::from(vec![random.below(3) as u8])),
            timestamp,
            value,
        });
    }
    row
}

fn mutation(random: &mut Random) -> Mutation {
    let timestamp = Timestamp(1000 + random.below(200) as i64);
    let deletion = Deletion {
        timestamp,
        at: Seconds(5),
    };
    let mut partition = Partition::default();
    match random.below(20) {
        0 => partition.delete(deletion),
        1..=3 => {
            let (a, b) = (random.below(ROWS), random.below(ROWS + 1));
            partition.delete_range(RangeTombstone {
                range: ClusteringRange {
                    start: clustering(a.min(b)),
                    end: (b < ROWS).then(|| clustering(a.max(b) + 1)),
                },
                deletion,
            });
        }
        4 => partition.add_static(row(random, timestamp)),
        _ => {
            for _ in 0..=random.below(3) {
                let clustering = Clustering(clustering(random.below(ROWS)));
                partition.add_row(clustering, row(random, timestamp));
            }
        }
    }
    Mutation {
        table: table(random),
        key: key(random.below(KEYS)),
        partition,
    }
}

/// What should be stored: of acknowledged writes, and of all writes that were ever tried.
#[derive(Default)]
struct Expected {
    surely: BTreeMap<(TableId, DecoratedKey), Partition>,
    perhaps: BTreeMap<(TableId, DecoratedKey), Partition>,
}

impl Expected {
    fn tried(&mut self, mutation: &Mutation) {
        let place = (mutation.table, mutation.key.clone());
        let partition = self.perhaps.entry(place).or_default();
        partition.merge(mutation.partition.clone());
    }

    fn acknowledged(&mut self, mutation: &Mutation) {
        let place = (mutation.table, mutation.key.clone());
        let partition = self.surely.entry(place).or_default();
        partition.merge(mutation.partition.clone());
    }

    /// What is stored must have all that is sure, and only what may be; it is sure from now on.
    fn check(&mut self, store: &SimStore) {
        for id in 1..=TABLES {
            let id = TableId(u128::from(id));
            let mut stored = BTreeMap::new();
            for PartitionPage { key, partition, .. } in store.dump(id).expect("the engine reads") {
                assert!(partition.is_canonical(), "{partition:?}");
                assert!(
                    stored.insert((id, key), partition).is_none(),
                    "a partition comes once"
                );
            }
            for number in 0..KEYS {
                let place = (id, key(number));
                let have = stored.remove(&place).unwrap_or_default();
                let merged = |with: Option<&Partition>, mut into: Partition| {
                    into.merge(with.cloned().unwrap_or_default());
                    into
                };
                let least = merged(self.surely.get(&place), have.clone());
                assert_eq!(have, least, "{place:?} lacks what was acknowledged");
                let most = self.perhaps.get(&place).cloned().unwrap_or_default();
                assert_eq!(
                    merged(Some(&have), most.clone()),
                    most,
                    "{place:?} has what nobody wrote"
                );
                self.surely.insert(place.clone(), have.clone());
                self.perhaps.insert(place, have);
            }
            assert!(stored.is_empty(), "partitions that nobody wrote: {stored:?}");
        }
    }
}

fn tiny(random: &mut Random) -> StoreSettings {
    let mut settings = StoreSettings::random(random);
    settings.engine.memtable_bytes = 512 << random.below(5);
    settings
}

/// Writes until the node dies or has done enough.
async fn live(
    handle: Handle,
    group: Group,
    disk: Disk,
    (settings, bug): (StoreSettings, Option<Bug>),
    mut random: Random,
    expected: Arc<parking_lot::Mutex<Expected>>,
) {
    let store = SimStore::open(&handle, group, &disk, &settings, bug);
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            assert!(disk.is_dead(), "what a crash left can't be opened: {error}");
            return;
        }
    };
    expected.lock().check(&store);
    for _ in 0..random.below(150) {
        let mutation = mutation(&mut random);
        expected.lock().tried(&mutation);
        let (store, expected) = (store.clone(), expected.clone());
        let write = async move {
            if store.apply((&mutation).into(), Duration::MAX).await.is_ok() {
                expected.lock().acknowledged(&mutation);
            }
        };
        if random.chance(500) {
            write.await;
        } else {
            handle.spawn(group, write);
        }
        if random.chance(20) {
            handle.sleep(Duration::from_millis(random.below(300))).await;
        }
    }
}

fn crashes(seed: u64, bug: Option<Bug>) {
    let mut random = Random::new(seed);
    let settings = tiny(&mut random);
    let disk = Disk::new(random.fork());
    let expected = Arc::new(parking_lot::Mutex::new(Expected::default()));
    let mut executor = Executor::new(random.fork(), Arc::new(Trace::new(None)), 10_000_000);
    for _ in 0..12 {
        let handle = executor.handle().clone();
        let group = handle.group();
        let (sender, receiver) = oneshot::channel();
        if random.chance(700) {
            let sender = sender.clone();
            disk.crash_after(random.below(300), Box::new(move || sender.send(())));
        }
        let life = live(
            handle.clone(),
            group,
            disk.clone(),
            (settings.clone(), bug),
            random.fork(),
            expected.clone(),
        );
        handle.spawn(group, async move {
            life.await;
            sender.send(());
        });
        executor.run(receiver).expect("ends");
        handle.kill(group);
        if random.chance(300) {
            disk.kill();
        } else {
            disk.crash();
        }
    }
}

#[test]
fn acknowledged_writes_survive_every_crash() {
    for seed in 0..60 {
        crashes(seed, None);
    }
}

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    let caught = (0..10).find(|seed| {
        let run = || crashes(*seed, Some(Bug::AcknowledgeBeforeSync));
        std::panic::catch_unwind(run).is_err()
    });
    assert!(caught.is_some());
}

/// Applies a write, however long flushes take to make room for it.
async fn apply(handle: &Handle, store: &SimStore, mutation: &Mutation) {
    while let Err(error) = store.apply(mutation.into(), Duration::MAX).await {
        assert_eq!(error, StoreError::Overloaded);
        handle.sleep(Duration::from_millis(50)).await;
    }
}

/// Reads a range in random pages and puts them together again.
async fn read_paged(
    store: &SimStore,
    mut command: ReadCommand,
    random: &mut Random,
) -> BTreeMap<DecoratedKey, Partition> {
    let mut all: BTreeMap<DecoratedKey, Partition> = BTreeMap::new();
    for _ in 0..10_000 {
        command.limits = Limits {
            rows: 1 + random.below(6) as u32,
            visited: 1 + random.below(20) as u32,
            ..Limits::NONE
        };
        let read = store.read(command.clone(), Duration::MAX).await;
        let page = read.expect("the engine reads").page.decode().expect("a page");
        for part in page.partitions {
            all.entry(part.key).or_default().merge(part.partition);
        }
        let Some(next) = page.next else { return all };
        assert!(
            Some(&next) != command.after.as_ref(),
            "no progress after {next:?}"
        );
        command.after = Some::<Position>(next);
    }
    panic!("the read has no end");
}

#[test]
fn pages_of_ranges_cover_everything_once() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let settings = tiny(&mut random);
        let disk = Disk::new(random.fork());
        let mut executor = Executor::new(random.fork(), Arc::new(Trace::new(None)), 10_000_000);
        let handle = executor.handle().clone();
        let done = executor.run(async move {
            let store = SimStore::open(&handle, Group::WORLD, &disk, &settings, None).expect("opens");
            for _ in 0..200 {
                apply(&handle, &store, &mutation(&mut random)).await;
            }
            for reversed in [false, true] {
                let command = ReadCommand {
                    table: table(&mut random),
                    keys: KeyRange::Tokens(TokenRange::ALL),
                    slices: vec![ClusteringRange::ALL],
                    reversed,
                    after: None,
                    limits: Limits::NONE,
                    now: Seconds(7),
                };
                let whole: BTreeMap<DecoratedKey, Partition> = store
                    .dump(command.table)
                    .expect("the engine reads")
                    .into_iter()
                    .map(|page| (page.key, page.partition))
                    .collect();
                assert_eq!(
                    read_paged(&store, command, &mut random).await,
                    whole,
                    "seed {seed}"
                );
            }
        });
        done.expect("ends");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_none() {
    let mut random = Random::new(1);
    let settings = tiny(&mut random);
    let disk = Disk::new(random.fork());
    let mut executor = Executor::new(random.fork(), Arc::new(Trace::new(None)), 10_000_000);
    let handle = executor.handle().clone();
    let done = executor.run(async move {
        let mut expected = Expected::default();
        let group = handle.group();
        let store = SimStore::open(&handle, group, &disk, &settings, None).expect("opens");
        disk.set_capacity(Some(disk.used() + 20_000));
        let mut refused = 0;
        for _ in 0..2_000 {
            let mutation = mutation(&mut random);
            expected.tried(&mutation);
            match store.apply((&mutation).into(), Duration::MAX).await {
                Ok(()) => expected.acknowledged(&mutation),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "20 KB are enough for everything");
        disk.set_capacity(None);
        let mut taken = 0;
        for _ in 0..200 {
            let mutation = mutation(&mut random);
            expected.tried(&mutation);
            match store.apply((&mutation).into(), Duration::MAX).await {
                Ok(()) => {
                    taken += 1;
                    expected.acknowledged(&mutation);
                }
                Err(_) => handle.sleep(Duration::from_millis(50)).await,
            }
        }
        assert!(taken > 0, "writes go on without a restart");
        handle.kill(group);
        disk.crash();
        let store = SimStore::open(&handle, handle.group(), &disk, &settings, None).expect("opens again");
        expected.check(&store);
    });
    done.expect("ends");
}

#[test]
fn rot_is_an_error_and_never_a_wrong_answer_and_can_be_healed() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut settings = tiny(&mut random);
        settings.engine.memtable_bytes = 512;
        let disk = Disk::new(random.fork());
        let mut executor = Executor::new(random.fork(), Arc::new(Trace::new(None)), 10_000_000);
        let handle = executor.handle().clone();
        let done = executor.run(async move {
            let mut expected = Expected::default();
            let mut elsewhere = Vec::new();
            let group = handle.group();
            let store = SimStore::open(&handle, group, &disk, &settings, None).expect("opens");
            for _ in 0..300 {
                let mutation = mutation(&mut random);
                expected.tried(&mutation);
                apply(&handle, &store, &mutation).await;
                expected.acknowledged(&mutation);
                elsewhere.push(mutation);
            }
            handle.sleep(Duration::from_secs(5)).await;
            handle.kill(group);
            disk.crash();
            let length = |path: &PathBuf| disk.fs().read(path).expect("there").len() as u64;
            // Of a table that was just being written nothing may be left.
            let tables: Vec<PathBuf> = disk
                .paths()
                .into_iter()
                .filter(|path| path.extension().is_some_and(|extension| extension == "table"))
                .filter(|path| length(path) > 0)
                .collect();
            assert!(!tables.is_empty(), "nothing was flushed: {:?}", disk.paths());
            let victim = random.pick(&tables).clone();
            let length = length(&victim);
            disk.corrupt(&victim, random.below(length), 1 << random.below(8))
                .expect("there");
            let Ok(store) = SimStore::open(&handle, handle.group(), &disk, &settings, None) else {
                return;
            };
            // What was damaged is written anew from where it is whole.
            let is_readable = || (1..=TABLES).all(|id| store.dump(TableId(u128::from(id))).is_ok());
            let mut pieces = 0;
            while !is_readable() {
                let damaged = store.damaged().await.expect("a list");
                assert!(!damaged.is_empty(), "what can't be read is known to be damaged");
                for mutation in &elsewhere {
                    apply(&handle, &store, mutation).await;
                }
                for piece in damaged {
                    store.heal(piece).await.expect("it is given up");
                    pieces += 1;
                }
                assert!(pieces < 50, "it ends");
            }
            expected.check(&store);
        });
        done.expect("ends");
    }
}
