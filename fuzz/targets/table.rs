//! The table reader: whatever the disk brings is read or reported, never believed.
//!
//! Checksums would keep the fuzzer out, so the engine takes every checksum for right under `cfg(fuzzing)`.
//! An input is either a whole file, or changes to a valid one: places and what is there instead.
#![no_main]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, Mutation, Partition, RangeTombstone,
    Row, Seconds, TableId, Timestamp, Token,
};
use starling_sstable::{
    Engine, Options, Step,
    fs::{Fs, MemoryFs},
    table::{Table, dump::dump, reader::file_name},
};

const TABLE: TableId = TableId(1);

/// A small table with everything in it: several blocks, rows, static rows, deletions of each kind.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let fs = Arc::new(MemoryFs::new());
    let options = Options { block_bytes: 256, ..Options::default() };
    let (mut engine, _) = Engine::open(fs.clone(), PathBuf::from("e"), options).expect("it is empty");
    for at in 0_u8..24 {
        engine.apply(&mutation(at)).expect("memory takes it");
    }
    engine.log().sync().expect("memory syncs");
    engine.flush_all();
    while let Some(mut job) = engine.next_job(Seconds(100)) {
        while job.step().expect("memory takes it") == Step::More {}
        engine.finish(job).expect("memory takes it");
    }
    let path = files(fs.as_ref(), Path::new("e")).into_iter().find(|path| path.extension().is_some_and(|e| e == "table"));
    fs.read(&path.expect("it was flushed")).expect("it is there").to_vec()
});

fn files(fs: &dyn Fs, dir: &Path) -> Vec<PathBuf> {
    let inside = fs.list(dir).unwrap_or_default();
    let below: Vec<PathBuf> = inside.iter().flat_map(|path| files(fs, path)).collect();
    inside.into_iter().chain(below).collect()
}

fn mutation(at: u8) -> Mutation {
    let timestamp = Timestamp(i64::from(at));
    let deletion = Deletion { timestamp: Timestamp(1), at: Seconds(2) };
    let value = CellValue::Live { value: Bytes::from(vec![at; usize::from(at) * 3]), expiry: None };
    let row = Row { cells: vec![Cell { column: ColumnId(1), path: None, timestamp, value }], ..Row::default() };
    let mut partition = Partition::default();
    match at % 4 {
        0 => partition.delete(deletion),
        1 => partition.add_static(row),
        2 => {
            let range = ClusteringRange { start: Bytes::from(vec![at]), end: (at < 20).then(|| Bytes::from(vec![at + 4])) };
            partition.delete_range(RangeTombstone { range, deletion });
        }
        _ => partition.add_row(Clustering::from(vec![0x40, at]), row),
    }
    let token = Token(i64::from(at / 6) * 1000);
    Mutation { table: TABLE, key: DecoratedKey { token, key: Bytes::from(vec![at / 6; 5]) }, partition }
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let file = if mode & 1 == 0 { rest.to_vec() } else { changed(rest) };
    let fs = MemoryFs::new();
    let dir = Path::new("t");
    let written = fs.create_dir_all(dir).and_then(|()| fs.create(&dir.join(file_name(1)))).and_then(|mut out| {
        out.append(&file)?;
        out.sync()
    });
    written.expect("memory takes it");
    if let Ok(table) = Table::open(&fs, dir, 1) {
        let _either = dump(&Arc::new(table));
    }
});

/// The valid table with some bytes changed: each change is a place (two bytes) and a byte.
fn changed(changes: &[u8]) -> Vec<u8> {
    let mut file = VALID.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % file.len();
        file[place] = change[2];
    }
    file
}
