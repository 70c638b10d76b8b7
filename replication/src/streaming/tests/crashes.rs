//! A fetch in whose midst one of the two sides crashes: what was noted is here and is not asked for again, and all else comes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use starling_model::{Mutation, NodeId, TableId, Timestamp, TokenSet};
use starling_ring::{Placement, Ring, Strategy};
use starling_sstable::fs::Fs;

use super::super::{progress::Fetched, wire::MAX_PIECE_BYTES};
use crate::{
    env::Env,
    testing::{TestCluster, insert},
    topology::{Change, ChangeKind, Phase},
};

const ROWS: usize = 60;

/// Two rows are more than one piece.
const VALUE_BYTES: usize = 600 << 10;

/// Sources cut parts of a few rows then.
const MAGNIFIED: u64 = 48;

/// The newcomer, the one whose data it takes over, and one that stays and has the same.
const NEWCOMER: usize = 1;
const LEAVER: usize = 3;
const OTHER: usize = 2;

const CHANGE: u128 = 7;

type Outcome = Arc<parking_lot::Mutex<Option<Result<(), String>>>>;

/// Three nodes of which one is to leave; another one fetches what that one has, a piece a second.
struct Scene {
    cluster: TestCluster,
    table: TableId,
    /// What there is, and how many bytes each has in a file.
    rows: Vec<(Mutation, u64)>,
    leaver: NodeId,
    /// The tokens that the newcomer gains.
    gained: TokenSet,
    outcome: Outcome,
}

impl Scene {
    fn begin() -> Self {
        let mut cluster = TestCluster::prepared(3);
        for number in 1..=3 {
            let mut config = TestCluster::config(number);
            config.bounds.stream_rate = u64::from(MAX_PIECE_BYTES);
            cluster.start_with(number, config).expect("a node starts");
        }
        cluster.run_for(Duration::from_secs(3));
        let table = cluster.make_table(2);
        let leaver = cluster.node(LEAVER).id;
        let (before, after) = placements(&cluster, leaver);
        let rows: Vec<(Mutation, u64)> = (0..ROWS).map(|row| row_of(table, row)).collect();
        for (row, _) in &rows {
            for number in 1..=3 {
                let replicas = before.replicas(row.key.token);
                if replicas.contains(&cluster.node(number).id) {
                    cluster.store(number).apply_now(row.clone());
                }
            }
        }
        (1..=3).for_each(|number| cluster.store(number).magnify(MAGNIFIED));
        let newcomer = cluster.node(NEWCOMER).id;
        let of = |placement: &Placement| -> TokenSet { placement.ranges_of(newcomer).into_iter().collect() };
        let mut scene = Self {
            gained: of(&after).without(&of(&before)),
            cluster,
            table,
            rows,
            leaver,
            outcome: Outcome::default(),
        };
        assert!(scene.bytes_of(&scene.gained) > 8 * u64::from(MAX_PIECE_BYTES));
        scene.fetch();
        scene
    }

    /// The newcomer learns of the change, unless it knows it, and begins to fetch, or goes on.
    fn fetch(&mut self) {
        let change = Change {
            id: CHANGE,
            kind: ChangeKind::Leave(self.leaver),
            coordinator: self.cluster.node(OTHER).id,
            since: Timestamp(1),
            phase: Phase::Pending,
            lost: BTreeSet::new(),
        };
        let node = self.cluster.node(NEWCOMER);
        let state = node.book.load();
        if state.change().is_none() {
            let begun = state.with_change(&change, Phase::Pending);
            assert!(node.book.replace(&state, begun));
            node.membership.ring_changed();
        }
        self.outcome = Outcome::default();
        let (streaming, told) = (Arc::clone(&node.streaming), Arc::clone(&self.outcome));
        self.cluster.envs[NEWCOMER - 1].spawn(async move {
            let outcome = streaming.fetch(&change).await;
            *told.lock() = Some(outcome);
        });
    }

    /// What is noted on the newcomer's disk of the leaver's data.
    fn noted(&self) -> TokenSet {
        let fetched = Fetched::load(self.cluster.disk(NEWCOMER), CHANGE).expect("it can be read");
        fetched.of(self.table, self.leaver)
    }

    /// How many bytes rows with these tokens have in files.
    fn bytes_of(&self, tokens: &TokenSet) -> u64 {
        let rows = self.rows.iter();
        let rows = rows.filter(|(row, _)| tokens.contains(row.key.token));
        rows.map(|(_, bytes)| bytes).sum()
    }

    /// How many bytes came since the newcomer's start.
    fn came(&self) -> u64 {
        let status = self.cluster.node(NEWCOMER).status();
        status.counters.streamed_in_bytes
    }

    /// Goes on until some parts are noted, and of another one a part is here. Returns what is noted.
    fn run_into_the_midst(&self) -> TokenSet {
        for _ in 0..100 {
            self.cluster.run_for(Duration::from_millis(100));
            let noted = self.noted();
            let whole = self.bytes_of(&noted);
            if whole > 0 && self.came() > whole {
                assert_eq!(*self.outcome.lock(), None);
                assert!(self.bytes_of(&self.gained) > self.came() + 2 * u64::from(MAX_PIECE_BYTES));
                assert!(!files(&self.cluster, NEWCOMER, "streams/in").is_empty());
                return noted;
            }
        }
        panic!("no part is noted while others are under way");
    }

    /// Of which tokens a node was asked for files since it was asked for so many: none of them twice.
    fn asked_since(&self, number: usize, before: usize) -> TokenSet {
        let begun = self.cluster.store(number).exports().begun();
        let mut asked = TokenSet::default();
        for tokens in &begun[before..] {
            assert!(asked.intersection(tokens).is_empty(), "{tokens:?} twice");
            asked = asked.union(tokens);
        }
        asked
    }

    fn exports(&self, number: usize) -> usize {
        self.cluster.store(number).exports().begun().len()
    }

    /// All that the newcomer gains is here, to the last byte, and noted, and nothing is left of how it came.
    fn check(&self) {
        assert_eq!(*self.outcome.lock(), Some(Ok(())));
        let mut has = 0;
        for (row, _) in &self.rows {
            if self.gained.contains(row.key.token) {
                let stored = self.cluster.stored(NEWCOMER, self.table, &row.key);
                assert!(stored == row.partition, "{:?}", row.key);
                has += 1;
            }
        }
        assert!(has > ROWS / 6, "it gained something");
        assert_eq!(self.noted(), self.gained);
        assert_eq!(
            files(&self.cluster, NEWCOMER, "streams/in"),
            Vec::<PathBuf>::new()
        );
    }
}

/// A row each KiB of which is another one, and what it has in a file.
fn row_of(table: TableId, row: usize) -> (Mutation, u64) {
    let blocks = (0..VALUE_BYTES / 1024).map(|block| format!("{row:07}-{block:07}|").repeat(64));
    let row = insert(table, &format!("k{row}"), 1, &blocks.collect::<String>(), 10);
    let bytes = 4 + row.encode().len() as u64;
    (row, bytes)
}

/// Who has what, with the leaver and without it.
fn placements(cluster: &TestCluster, leaver: NodeId) -> (Placement, Placement) {
    let ring = Arc::clone(&cluster.node(NEWCOMER).views.load().cluster.ring);
    let next = Ring::new(ring.partitioner(), ChangeKind::Leave(leaver).next(ring.members()));
    let strategy = Strategy::Simple { factor: 2 };
    (ring.placement(&strategy), next.placement(&strategy))
}

fn files(cluster: &TestCluster, number: usize, place: &str) -> Vec<PathBuf> {
    let files = cluster.disk(number).list(Path::new(place));
    files.unwrap_or_default()
}

#[test]
fn a_newcomer_that_crashes_fetches_only_what_it_has_not_noted() {
    let mut scene = Scene::begin();
    let noted = scene.run_into_the_midst();
    let exports = scene.exports(LEAVER);
    scene.cluster.kill(NEWCOMER);
    assert_eq!(scene.noted(), noted, "a crash of the disk takes nothing of it");
    scene.cluster.restart(NEWCOMER);
    scene.cluster.run_for(Duration::from_secs(2));
    scene.fetch();
    scene.cluster.run_for(Duration::from_secs(20));
    scene.check();
    let left = scene.gained.without(&noted);
    assert_eq!(
        scene.came(),
        scene.bytes_of(&left),
        "each byte of what was left, once"
    );
    let asked = scene.asked_since(LEAVER, exports);
    assert!(!asked.is_empty() && asked.without(&left).is_empty(), "{asked:?}");
    // What was made for the process that died is given up when nobody has asked about it for a while.
    scene.cluster.run_for(Duration::from_secs(65));
    assert_eq!(
        files(&scene.cluster, LEAVER, "streams/out"),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn a_source_that_crashes_and_comes_back_is_asked_only_for_what_is_missing() {
    let mut scene = Scene::begin();
    let noted = scene.run_into_the_midst();
    let exports = scene.exports(LEAVER);
    scene.cluster.kill(LEAVER);
    let before = scene.came();
    scene.cluster.run_for(Duration::from_secs(5));
    assert_eq!(*scene.outcome.lock(), None, "it is waited for");
    assert_eq!((scene.noted(), scene.came()), (noted.clone(), before));
    scene.cluster.restart(LEAVER);
    scene.cluster.run_for(Duration::from_secs(40));
    scene.check();
    let left = scene.gained.without(&noted);
    assert_eq!(
        scene.came() - before,
        scene.bytes_of(&left),
        "parts that were under way begin anew"
    );
    assert_eq!(
        scene.asked_since(LEAVER, exports),
        left,
        "its files did not outlast the crash"
    );
    assert_eq!(scene.exports(OTHER), 0);
    assert_eq!(
        files(&scene.cluster, LEAVER, "streams/out"),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn a_source_that_stays_dead_is_done_without_for_what_is_missing() {
    let mut scene = Scene::begin();
    let noted = scene.run_into_the_midst();
    scene.cluster.kill(LEAVER);
    let before = scene.came();
    scene.cluster.run_for(Duration::from_secs(19));
    assert_eq!(scene.exports(OTHER), 0, "it is waited for");
    let left = scene.gained.without(&noted);
    let data = scene.bytes_of(&left) / u64::from(MAX_PIECE_BYTES);
    scene.cluster.run_for(Duration::from_secs(10 + data));
    scene.check();
    assert_eq!(
        scene.asked_since(OTHER, 0),
        left,
        "and nothing of what came before"
    );
    assert_eq!(scene.came() - before, scene.bytes_of(&left));
}
