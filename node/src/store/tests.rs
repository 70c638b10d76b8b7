use std::{
    io,
    path::{Path, PathBuf},
    sync::Condvar,
};

use bytes::Bytes;
use futures::FutureExt;
use proptest::prelude::*;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Limits, Mutation, Page, Partition,
    Row, Seconds, Timestamp, Token, TokenRange,
};
use starling_sstable::{
    ExportOptions,
    fs::{Fs, Map, Residency, WriteFile, memory::MemoryFs},
};

use super::*;

const TABLE: TableId = TableId(7);
const NOW: Seconds = Seconds(1000);

fn options(shards: u32) -> StoreOptions {
    StoreOptions {
        shards,
        commitlog_sync: CommitLogSync::Group,
        memtable_bytes: 64 << 20,
        background_threads: 1,
        incremental_backups: false,
    }
}

fn memory() -> Arc<dyn Fs> {
    Arc::new(MemoryFs::new())
}

/// Keys spread over the whole token space.
fn key(n: u64) -> DecoratedKey {
    let token = Token((n.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64).max(i64::MIN + 1));
    DecoratedKey {
        token,
        key: Bytes::copy_from_slice(&n.to_be_bytes()),
    }
}

pub(super) fn write(n: u64, rows: u8) -> Mutation {
    let mut partition = Partition::default();
    for row in 0..rows {
        let mut content = Row::default();
        content.add(Cell {
            column: ColumnId(1),
            path: None,
            timestamp: Timestamp(5),
            value: CellValue::Live {
                value: Bytes::copy_from_slice(&n.to_be_bytes()),
                expiry: None,
            },
        });
        partition.add_row(Clustering::from(vec![row]), content);
    }
    Mutation {
        table: TABLE,
        key: key(n),
        partition,
    }
}

fn command(keys: KeyRange, limits: Limits) -> ReadCommand {
    ReadCommand {
        table: TABLE,
        keys,
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits,
        now: NOW,
    }
}

async fn one(store: &ShardedStore, n: u64) -> Result<Page, StoreError> {
    page(store, command(KeyRange::Partition(key(n)), Limits::NONE)).await
}

async fn page(store: &ShardedStore, command: ReadCommand) -> Result<Page, StoreError> {
    let read = store.read(command, Duration::MAX).await?;
    Ok(read.page.decode().unwrap())
}

/// All rows of a range, page by page: (token, row) in the order in which they came.
async fn walk(store: &ShardedStore, range: TokenRange, limits: Limits) -> Vec<(Token, Vec<u8>)> {
    let mut command = command(KeyRange::Tokens(range), limits);
    let mut seen = Vec::new();
    loop {
        let page = page(store, command.clone()).await.unwrap();
        for part in &page.partitions {
            for clustering in part.partition.rows.keys() {
                seen.push((part.key.token, clustering.0.to_vec()));
            }
        }
        match page.next {
            Some(next) => command.after = Some(next),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let fs = memory();
    let store = ShardedStore::open(&fs, &options(3)).unwrap();
    futures::future::try_join_all((0..200).map(|n| store.apply(write(n, 1).into(), Duration::MAX)))
        .await
        .unwrap();
    store.stop().await.unwrap();
    assert_eq!(
        store.apply(write(1, 1).into(), Duration::MAX).await,
        Err(StoreError::Stopping)
    );

    let store = ShardedStore::open(&fs, &options(3)).unwrap();
    for n in 0..200 {
        assert_eq!(one(&store, n).await.unwrap().partitions.len(), 1, "key {n}");
    }
    store.stop().await.unwrap();
}

#[tokio::test]
async fn truncate_empties_all_shards() {
    let store = ShardedStore::open(&memory(), &options(3)).unwrap();
    futures::future::try_join_all((0..50).map(|n| store.apply(write(n, 1).into(), Duration::MAX)))
        .await
        .unwrap();
    store.truncate(TABLE).await.unwrap();
    assert_eq!(walk(&store, TokenRange::ALL, Limits::NONE).await, []);
    store.stop().await.unwrap();
}

#[tokio::test]
async fn figures_come_from_every_shard() {
    let store = ShardedStore::open(&memory(), &options(2)).unwrap();
    futures::future::try_join_all((0..50).map(|n| store.apply(write(n, 1).into(), Duration::MAX)))
        .await
        .unwrap();
    let stats = store.stats().await;
    assert_eq!(stats.iter().map(|shard| shard.engine.writes).sum::<u64>(), 50);
    assert!(stats.iter().all(|shard| shard.engine.writes > 0));
    store.stop().await.unwrap();
}

/// A range goes to a node that has another number of shards, and is forgotten where it came from.
#[tokio::test]
async fn a_range_moves_to_a_store_with_other_shards() {
    let fs = memory();
    let from = ShardedStore::open(&fs, &options(3)).unwrap();
    futures::future::try_join_all((0..200).map(|n| from.apply(write(n, 2).into(), Duration::MAX)))
        .await
        .unwrap();
    let cut = |start, end| TokenRange {
        start: Token(start),
        end: Token(end),
    };
    let moved: TokenSet = [cut(i64::MIN, -4 << 60), cut(-1 << 60, 5 << 60)]
        .into_iter()
        .collect();
    let all = walk(&from, TokenRange::ALL, Limits::NONE).await;
    let (gone, stays): (Vec<_>, Vec<_>) = all.into_iter().partition(|(token, _)| moved.contains(*token));
    let exported = from
        .export(
            TABLE,
            moved.clone(),
            2,
            "streams/out/1".into(),
            ExportOptions::default(),
        )
        .await
        .unwrap();
    assert!(exported.iter().any(|file| file.shard == 0) && exported.iter().any(|file| file.shard == 1));

    // Another node, whose disk has the files.
    let other = memory();
    other.create_dir_all(Path::new("in")).unwrap();
    let mut files = Vec::new();
    for (number, file) in exported.iter().enumerate() {
        let content = fs.read(&file.path).unwrap();
        assert_eq!(content.len() as u64, file.bytes);
        let path = Path::new("in").join(number.to_string());
        let mut copy = other.create(&path).unwrap();
        copy.append(&content).unwrap();
        copy.sync().unwrap();
        files.push((file.shard, path));
    }
    let to = ShardedStore::open(&other, &options(2)).unwrap();
    to.ingest(TABLE, files.clone()).await.unwrap();
    assert_eq!(walk(&to, TokenRange::ALL, Limits::NONE).await, gone);
    let sizes = to
        .sizes(TABLE, vec![moved.clone(), moved.complement()])
        .await
        .unwrap();
    assert!(sizes[0] > 0 && sizes[1] == 0, "{sizes:?}");
    // Twice is as good as once, and a file that is no table is none.
    to.ingest(TABLE, files.clone()).await.unwrap();
    assert_eq!(walk(&to, TokenRange::ALL, Limits::NONE).await, gone);
    other
        .create(Path::new("in/bad"))
        .unwrap()
        .append(b"no table")
        .unwrap();
    let refused = to.ingest(TABLE, vec![(0, "in/bad".into())]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");

    from.discard(TABLE, moved).await.unwrap();
    assert_eq!(walk(&from, TokenRange::ALL, Limits::NONE).await, stays);
    for store in [from, to] {
        store.stop().await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the page's limits and the number of shards: a scan returns each row of the range once, in order.
    #[test]
    fn scans_cross_shards_and_pages(
        shards in 1u32..5,
        rows in 1u8..4,
        page_rows in 1u32..9,
        bytes in 1u32..2000,
        from in any::<i64>(),
        to in any::<i64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = ShardedStore::open(&memory(), &options(shards)).unwrap();
            futures::future::try_join_all((0..40).map(|n| store.apply(write(n, rows).into(), Duration::MAX))).await.unwrap();
            let limits = Limits { rows: page_rows, bytes, ..Limits::NONE };
            let range = TokenRange { start: Token(from.min(to)), end: Token(from.max(to)) };
            let mut expected: Vec<_> = (0..40)
                .map(|n| key(n).token)
                .filter(|token| *token > range.start && *token <= range.end)
                .flat_map(|token| (0..rows).map(move |row| (token, vec![row])))
                .collect();
            expected.sort();
            let seen = if range.start < range.end { walk(&store, range, limits).await } else { Vec::new() };
            prop_assert_eq!(seen, expected);
            store.stop().await.unwrap();
            Ok(())
        })?;
    }
}

/// A disk whose syncs can be held up.
#[derive(Clone)]
struct GatedFs {
    inner: Arc<MemoryFs>,
    gate: Arc<Gate>,
}

struct GatedFile {
    inner: Box<dyn WriteFile>,
    gate: Arc<Gate>,
}

impl GatedFs {
    fn new() -> Self {
        Self {
            inner: Arc::new(MemoryFs::new()),
            gate: Arc::default(),
        }
    }

    fn open_gate(&self, open: bool) {
        self.gate.state.lock().unwrap().is_closed = !open;
        self.gate.changed.notify_all();
    }

    /// Returns once somebody waits at the gate.
    fn wait_for_somebody(&self) {
        let state = self.gate.state.lock().unwrap();
        drop(
            self.gate
                .changed
                .wait_while(state, |state| state.waiting == 0)
                .unwrap(),
        );
    }
}

#[derive(Default)]
struct Gate {
    state: std::sync::Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    waiting: u32,
}

impl WriteFile for GatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.gate.state.lock().unwrap();
        state.waiting += 1;
        self.gate.changed.notify_all();
        let mut state = self
            .gate
            .changed
            .wait_while(state, |state| state.is_closed)
            .unwrap();
        state.waiting -= 1;
        drop(state);
        self.inner.sync()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.inner.reserve(bytes)
    }
}

impl Fs for GatedFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let gate = Arc::clone(&self.gate);
        Ok(Box::new(GatedFile {
            inner: self.inner.create(path)?,
            gate,
        }))
    }
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.read(path)
    }
    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let gate = Arc::clone(&self.gate);
        Ok(Box::new(GatedFile {
            inner: self.inner.overwrite(path)?,
            gate,
        }))
    }
    fn map(&self, path: &Path) -> io::Result<Map> {
        self.inner.map(path)
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_file(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(dir)
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_or_shown_before_it_is_durable() {
    let disk = GatedFs::new();
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let store = ShardedStore::open(&fs, &options(1)).unwrap();
    disk.open_gate(false);
    let mut write = Box::pin(store.apply(write(1, 1).into(), Duration::MAX));
    let mut read = Box::pin(one(&store, 1));
    assert!((&mut read).now_or_never().is_none());
    // The shard takes requests in order: once it has answered this, it has seen both.
    assert_eq!(store.stats().await[0].engine.writes, 1);
    assert!((&mut write).now_or_never().is_none());
    assert!((&mut read).now_or_never().is_none());
    // What does not depend on the unsynced write is not held up.
    assert_eq!(one(&store, 2).await.unwrap().partitions.len(), 0);
    disk.open_gate(true);
    write.await.unwrap();
    assert_eq!(read.await.unwrap().partitions.len(), 1);
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_is_answered_also_while_the_store_stops() {
    const TASKS: u64 = 8;
    const REQUESTS: u64 = 500;
    let store = ShardedStore::open(&memory(), &options(2)).unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(TASKS as usize + 1));
    let tasks = (0..TASKS).map(|task| {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let mut answered = 0;
            for at in 0..REQUESTS {
                if at == REQUESTS / 2 {
                    barrier.wait().await;
                }
                let key = task * REQUESTS + at;
                let written = store.apply(write(key, 1).into(), Duration::MAX).await;
                let found = one(&store, key).await;
                match (written, found) {
                    (Ok(()), Ok(page)) => assert_eq!(page.partitions.len(), 1),
                    (Ok(()) | Err(StoreError::Stopping), Err(StoreError::Stopping)) => {}
                    other => panic!("{other:?}"),
                }
                answered += 1;
            }
            answered
        })
    });
    let tasks: Vec<_> = tasks.collect();
    barrier.wait().await;
    store.stop().await.unwrap();
    for answered in futures::future::join_all(tasks).await {
        assert_eq!(answered.unwrap(), REQUESTS);
    }
}

#[tokio::test]
async fn a_read_that_takes_long_is_left_to_the_shards_own_thread() {
    const ROWS: u8 = 250;
    const PARTS: u32 = 100;
    let store = ShardedStore::open(&memory(), &options(1)).unwrap();
    let mut wide = write(1, 0);
    for part in 0..PARTS {
        let mut more = write(1, ROWS);
        more.partition.rows = std::mem::take(&mut more.partition.rows)
            .into_iter()
            .map(|(clustering, row)| {
                let place = [&part.to_be_bytes()[..], &clustering.0].concat();
                (Clustering(place.into()), row)
            })
            .collect();
        wide.partition.rows.append(&mut more.partition.rows);
    }
    store.apply(wide.into(), Duration::MAX).await.unwrap();
    // All of it comes: it was not cut where whoever asked had spent enough time on it.
    let found = one(&store, 1).await.unwrap();
    assert_eq!(
        found.partitions[0].partition.rows.len(),
        PARTS as usize * usize::from(ROWS)
    );
    assert_eq!(found.next, None);
    store.stop().await.unwrap();
}

/// A disk whose reads end when the gate is open. Nothing of it is in memory before.
#[derive(Debug, Default)]
struct SlowDisk {
    open: std::sync::Mutex<bool>,
    opened: Condvar,
    waiting: std::sync::Mutex<u32>,
    waited: Condvar,
    loaded: std::sync::Mutex<Vec<std::ops::Range<usize>>>,
}

impl Residency for SlowDisk {
    fn is_resident(&self, range: std::ops::Range<usize>) -> bool {
        let loaded = self.loaded.lock().unwrap();
        loaded
            .iter()
            .any(|known| known.start <= range.start && range.end <= known.end)
    }

    fn load(&self, range: std::ops::Range<usize>) {
        *self.waiting.lock().unwrap() += 1;
        self.waited.notify_all();
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
        self.loaded.lock().unwrap().push(range);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_for_the_disk_holds_up_nobody_else() {
    let memory = MemoryFs::new();
    let disk = Arc::new(SlowDisk::default());
    memory.set_residency(Arc::clone(&disk) as Arc<dyn Residency>);
    let fs: Arc<dyn Fs> = Arc::new(memory);
    // A memtable that is full at once, so that there is a table.
    let small = StoreOptions {
        memtable_bytes: 64 << 10,
        ..options(1)
    };
    let store = ShardedStore::open(&fs, &small).unwrap();
    let mut written = 0;
    while store.stats().await[0].engine.tables == 0 {
        // Refused while the flush is under way.
        written += u64::from(store.apply(write(written, 1).into(), Duration::MAX).await.is_ok());
    }
    let mut cold = Box::pin(one(&store, 0));
    assert!((&mut cold).now_or_never().is_none());
    tokio::task::block_in_place(|| {
        let waiting = disk.waiting.lock().unwrap();
        drop(disk.waited.wait_while(waiting, |waiting| *waiting == 0).unwrap());
    });
    // The shard goes on: with writes, and with reads of what it has in memory.
    let other = written + 1_000_000;
    while store.apply(write(other, 1).into(), Duration::MAX).await == Err(StoreError::Overloaded) {}
    assert_eq!(store.stats().await[0].engine.writes, written + 1);
    assert!((&mut cold).now_or_never().is_none(), "it still waits");
    *disk.open.lock().unwrap() = true;
    disk.opened.notify_all();
    assert_eq!(cold.await.unwrap().partitions.len(), 1);
    store.stop().await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_done() {
    let disk = GatedFs::new();
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let store = ShardedStore::open(&fs, &options(1)).unwrap();
    store.apply(write(1, 1).into(), Duration::MAX).await.unwrap();
    disk.open_gate(false);
    // The shard waits for the disk, and all else for the shard.
    let truncation = store.truncate(TABLE);
    disk.wait_for_somebody();
    let abandoned = store.apply(write(2, 1).into(), Duration::MAX);
    let awaited = store.apply(write(3, 1).into(), Duration::MAX);
    // Who asked for this one was not woken yet to find that its time has passed.
    let late = store.apply(write(4, 1).into(), Duration::ZERO);
    drop(abandoned);
    disk.open_gate(true);
    truncation.await.unwrap();
    awaited.await.unwrap();
    assert_eq!(late.await, Err(StoreError::Late));
    assert_eq!(one(&store, 2).await.unwrap().partitions.len(), 0);
    assert_eq!(one(&store, 3).await.unwrap().partitions.len(), 1);
    assert_eq!(one(&store, 4).await.unwrap().partitions.len(), 0);
    store.stop().await.unwrap();
}

#[tokio::test]
async fn a_truncation_does_not_overtake_writes() {
    let disk = GatedFs::new();
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let store = ShardedStore::open(&fs, &options(1)).unwrap();
    store.apply(write(1, 1).into(), Duration::MAX).await.unwrap();
    disk.open_gate(false);
    // The shard waits for the disk, and a write and another truncation for the shard.
    let first = store.truncate(TABLE);
    disk.wait_for_somebody();
    let written = store.apply(write(2, 1).into(), Duration::MAX);
    let second = store.truncate(TABLE);
    disk.open_gate(true);
    first.await.unwrap();
    written.await.unwrap();
    second.await.unwrap();
    assert_eq!(one(&store, 2).await.unwrap().partitions.len(), 0);
    store.stop().await.unwrap();
}

#[tokio::test]
async fn periodic_sync_acknowledges_at_once() {
    let disk = GatedFs::new();
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let periodic = StoreOptions {
        commitlog_sync: CommitLogSync::Periodic(Duration::from_mins(1)),
        ..options(1)
    };
    let store = ShardedStore::open(&fs, &periodic).unwrap();
    disk.open_gate(false);
    store.apply(write(1, 1).into(), Duration::MAX).await.unwrap();
    assert_eq!(one(&store, 1).await.unwrap().partitions.len(), 1);
    disk.open_gate(true);
    store.stop().await.unwrap();
}

#[test]
fn a_layout_is_kept_and_a_damaged_one_is_told() {
    let fs = MemoryFs::new();
    assert_eq!(Layout::open_or_create(&fs, 4).unwrap().shards, 4);
    assert_eq!(Layout::open_or_create(&fs, 9).unwrap().shards, 4);
    for (text, expected) in [
        ("version = 1\nshards = 0\n", "0 shards"),
        ("version = 2\nshards = 1\n", "newer"),
        ("shards = 1\n", "damaged"),
        ("\u{0}", "damaged"),
    ] {
        let mut file = fs.create(Path::new("layout.toml")).unwrap();
        file.append(text.as_bytes()).unwrap();
        let error = Layout::open_or_create(&fs, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
}

#[test]
fn a_directory_is_a_file_system_of_its_own() {
    let inner = Arc::new(MemoryFs::new());
    inner.create_dir_all(Path::new("root")).unwrap();
    let rooted = RootedFs::new(PathBuf::from("root"), Arc::clone(&inner) as Arc<dyn Fs>);
    rooted.create_dir_all(Path::new("sub")).unwrap();
    let mut file = rooted.create(Path::new("sub/file")).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(
        rooted.list(Path::new("sub")).unwrap(),
        [PathBuf::from("sub/file")]
    );
    assert_eq!(
        inner.read(Path::new("root/sub/file")).unwrap(),
        Bytes::from_static(b"x")
    );
}
