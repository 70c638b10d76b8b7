//! What the disk can't deliver any more by the time that a merge uses what it has checked.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use starling_model::{Clustering, DecoratedKey, Seconds, Token, TokenRange};

use crate::{
    Compression, Error, PurgePolicy,
    compaction::{
        purge::Purging,
        worker::{Input, Plan, Worker},
    },
    fixtures::simple_row,
    fs::{Fs, Map, RealFs, WriteFile},
    log::Lsn,
    table::{Table, TableWriter, Target, WriterOptions, entry::Head, key::Kind, reader::file_name},
};

const OPTIONS: WriterOptions = WriterOptions {
    block_bytes: 32 << 10,
    compression: Compression::None,
    filter_bits: 10,
};

/// The files of a disk that loses a page of a table when the next one is begun: the merge stands in a block of it then.
struct Losing {
    table: Arc<Table>,
    page: u64,
}

impl Fs for Losing {
    fn may_map(&self) -> io::Result<()> {
        self.table.lose(self.page);
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        RealFs.create(path)
    }

    fn overwrite(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        RealFs.overwrite(path)
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        RealFs.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        RealFs.map(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFs.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealFs.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFs.exists(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        RealFs.free_space(dir)
    }
}

fn key(number: i64) -> DecoratedKey {
    DecoratedKey {
        token: Token(number * 1_000),
        key: number.to_be_bytes().to_vec().into(),
    }
}

/// Two large rows to a block.
fn table(dir: &Path) -> Arc<Table> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut writer = TableWriter::new(&fs, dir.join(file_name(1)), Lsn(1), OPTIONS).unwrap();
    for number in 0..30 {
        writer.partition(&key(number), Head::default()).unwrap();
        writer
            .row(&Clustering::EMPTY, &simple_row(1, &[number as u8; 12 << 10]))
            .unwrap();
    }
    writer.finish().unwrap();
    Arc::new(Table::open(&RealFs, dir, 1).unwrap())
}

#[test]
fn a_page_that_is_lost_after_its_check_fails_the_merge_and_is_no_row_of_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(dir.path());
    let block = |number| {
        let target = Target::new(&key(number), Kind::Row, &[]);
        table.locate(&target).unwrap().unwrap()
    };
    let first = (0..15).find(|number| block(*number) == block(15)).unwrap_or(15);
    let page = (block(first).start + (6 << 10)).next_multiple_of(4096);
    // The first row of a block and no other: nothing is checked after that.
    let token = key(first).token;
    let tokens = TokenRange {
        start: Token(token.0 - 1),
        end: token,
    };
    let plan = Plan {
        inputs: vec![Input::Table(Arc::clone(&table))],
        purging: Purging {
            policy: PurgePolicy::Keep,
            now: Seconds(10),
            memory: None,
            others: Vec::new(),
        },
        options: OPTIONS,
        step_bytes: 1 << 20,
        only: None,
        transient: false,
        copies: false,
    };
    let path = table.path().to_path_buf();
    let fs = Arc::new(Losing { table, page });
    let mut worker = Worker::new(fs, dir.path().into(), 2, Arc::new(plan), tokens);
    let error = worker.step().expect_err("a page is lost");
    assert!(
        matches!(&error, Error::Corrupt { file, offset, .. } if *file == path && *offset == page),
        "{error}"
    );
    assert!(!worker.is_done());
}
