use std::{fs, time::Duration};

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, DecoratedKey, Mutation, Partition, Row, Timestamp, Token,
};
use starling_replication::Store;
use starling_sstable::fs::{MemoryFs, RealFs, memory::Faults};

use super::*;
use crate::store::{CommitLogSync, RootedFs, StoreOptions, shard_dir};

struct Place {
    dir: tempfile::TempDir,
    fs: Arc<dyn Fs>,
    store: ShardedStore,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RootedFs::new(dir.path().to_owned(), Arc::new(RealFs)));
        let options = StoreOptions {
            shards: 2,
            commitlog_sync: CommitLogSync::Group,
            memtable_bytes: 64 << 20,
            background_threads: 1,
            incremental_backups: false,
        };
        let store = ShardedStore::open(&fs, &options).unwrap();
        Self { dir, fs, store }
    }

    fn snapshots(&self) -> Snapshots {
        let about = About {
            cluster: "c".to_owned(),
            name: "n".to_owned(),
            node: "id".to_owned(),
            partitioner: "p".to_owned(),
        };
        let root = self.dir.path().to_owned();
        Snapshots::open(Arc::clone(&self.fs), root, self.store.clone(), about)
    }

    async fn write(&self, from: i64, to: i64) {
        for n in from..to {
            let mut row = Row::default();
            row.add(Cell {
                column: ColumnId(1),
                path: None,
                timestamp: Timestamp(n),
                value: CellValue::Live {
                    value: Bytes::from(vec![7; 100]),
                    expiry: None,
                },
            });
            let mut partition = Partition::default();
            partition.add_row(Clustering::from(Vec::new()), row);
            let mutation = Mutation {
                table: TableId(7),
                key: DecoratedKey {
                    token: Token(n.wrapping_mul(0x1E37_79B9_7F4A_7C15)),
                    key: Bytes::copy_from_slice(&n.to_be_bytes()),
                },
                partition,
            };
            self.store.apply((&mutation).into(), Duration::MAX).await.unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(DIRECTORY).join(name)
    }
}

fn no_schema() -> Arc<Schema> {
    Arc::new(Schema::default())
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

#[tokio::test]
async fn a_snapshot_is_made_shown_and_deleted() {
    let place = Place::new();
    let snapshots = place.snapshots();
    assert_eq!(snapshots.list().await, Ok(Vec::new()));
    place.write(0, 50).await;
    let everything = Selection::default();
    let made = snapshots
        .create(&tag("first"), &everything, 1_000, no_schema)
        .await
        .unwrap();
    assert_eq!((made.tables, made.taken, made.of.as_deref()), (2, 1_000, None));
    assert_eq!(made.path, place.path("first"));
    // All but the manifests and the description is the node's too.
    let alone = made.own_bytes;
    assert!(alone > 0 && alone < made.bytes, "{made:?}");
    assert_eq!(snapshots.list().await, Ok(vec![made.clone()]));

    // The node gives the tables up: the snapshot has them for itself.
    place.write(50, 100).await;
    place.store.flush().await.unwrap();
    place.store.compact(&[TableId(7)]).await.unwrap();
    while place.store.left_to_compact(&[TableId(7)]).await.unwrap().bytes > 0 {
        tokio::task::yield_now().await;
    }
    let mut shown = snapshots.list().await.unwrap().remove(0);
    while shown.own_bytes < shown.bytes {
        // Files that were replaced are removed by a job.
        tokio::task::yield_now().await;
        shown = snapshots.list().await.unwrap().remove(0);
    }
    assert_eq!(shown.bytes, made.bytes);

    let again = snapshots
        .create(&tag("first"), &everything, 2_000, no_schema)
        .await;
    assert!(matches!(again, Err(SnapshotError::Wrong(_))), "{again:?}");
    let second = snapshots
        .create(&tag("second"), &everything, 2_000, no_schema)
        .await
        .unwrap();
    assert_eq!(
        snapshots.delete(&tag("first")).await.unwrap().own_bytes,
        shown.bytes
    );
    assert_eq!(snapshots.list().await, Ok(vec![second]));
    assert!(!place.path("first").exists());
    let missing = snapshots.delete(&tag("first")).await;
    assert!(matches!(missing, Err(SnapshotError::Wrong(_))), "{missing:?}");
    place.store.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_cleared_away_and_nothing_else() {
    let place = Place::new();
    let snapshots = place.snapshots();
    place.write(0, 20).await;
    for name in ["whole", "half", "strange"] {
        snapshots
            .create(&tag(name), &Selection::default(), 1, no_schema)
            .await
            .unwrap();
    }
    // A crash while it was made: one shard has not finished, and there is no description.
    fs::write(place.path("half").join(UNFINISHED), "").unwrap();
    fs::remove_file(place.path("half").join(description::FILE)).unwrap();
    fs::remove_file(place.path("half").join(shard_dir(1)).join("manifest")).unwrap();
    // Somebody's own files are not touched, beside and in it.
    fs::write(place.path("strange").join("notes"), "mine").unwrap();
    fs::create_dir_all(place.path("copied")).unwrap();
    fs::write(place.path("copied").join("1.table"), "mine").unwrap();
    fs::write(place.path("file"), "mine").unwrap();
    assert_eq!(snapshots.list().await.unwrap().len(), 2);

    let snapshots = place.snapshots();
    assert!(!place.path("half").exists());
    let names = |all: Vec<SnapshotView>| all.into_iter().map(|view| view.tag).collect::<Vec<_>>();
    assert_eq!(names(snapshots.list().await.unwrap()), ["strange", "whole"]);
    let kept = snapshots.delete(&tag("strange")).await;
    assert!(matches!(kept, Err(SnapshotError::Disk(_))), "{kept:?}");
    assert_eq!(names(snapshots.list().await.unwrap()), ["whole"]);
    for mine in ["strange/notes", "copied/1.table", "file"] {
        assert_eq!(fs::read_to_string(place.path(mine)).unwrap(), "mine");
    }
    place.store.stop().await.unwrap();
}

#[tokio::test]
async fn while_one_is_made_others_are_deleted_and_it_is_not() {
    let place = Place::new();
    let snapshots = place.snapshots();
    let everything = Selection::default();
    snapshots
        .create(&tag("old"), &everything, 1, no_schema)
        .await
        .unwrap();
    let waits = tag("waits");
    let waiting = snapshots.change(&waits).unwrap();
    for refused in [
        snapshots.delete(&waits).await,
        snapshots.create(&waits, &everything, 2, no_schema).await,
    ] {
        assert!(matches!(refused, Err(SnapshotError::Wrong(_))), "{refused:?}");
    }
    snapshots.delete(&tag("old")).await.unwrap();
    drop(waiting);
    snapshots.create(&waits, &everything, 2, no_schema).await.unwrap();
    place.store.stop().await.unwrap();
}

#[test]
fn one_that_can_t_be_marked_leaves_its_name_free() {
    let fs = MemoryFs::new();
    let dir = Path::new(DIRECTORY).join("t");
    let faults = |fail_syncs| Faults {
        fail_syncs,
        ..Faults::default()
    };
    fs.set_faults(faults(true));
    assert!(matches!(begin(&fs, &dir, &tag("t")), Err(SnapshotError::Disk(_))));
    assert!(!fs.exists(&dir).unwrap());
    fs.set_faults(faults(false));
    begin(&fs, &dir, &tag("t")).unwrap();
}

#[tokio::test]
async fn one_that_is_damaged_hides_no_others() {
    let place = Place::new();
    let snapshots = place.snapshots();
    for name in ["bad", "good"] {
        let everything = Selection::default();
        snapshots
            .create(&tag(name), &everything, 1, no_schema)
            .await
            .unwrap();
    }
    fs::write(place.path("bad").join(description::FILE), "no = ").unwrap();
    let shown = snapshots.list().await.unwrap();
    assert!(shown.iter().map(|view| &*view.tag).eq(["good"]));
    place.store.stop().await.unwrap();
}
