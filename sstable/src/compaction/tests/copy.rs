//! A copy of a part of a table is what a merge of it would make, but for how its blocks are stored.

use std::{ops::Range, path::Path, sync::Arc};

use proptest::{collection::vec, prelude::*};
use starling_model::{Clustering, DecoratedKey, Partition, Seconds, Token, TokenRange, TokenSet};

use crate::{
    Compression, Error, PurgePolicy,
    compaction::{
        purge::Purging,
        worker::{Input, Plan, Worker},
    },
    fixtures::{Content, partition, simple_row},
    fs::{Fs, MemoryFs},
    log::Lsn,
    table::{Properties, Table, TableWriter, WriterOptions, entry::Head, reader::file_name, verify},
};

const DIR: &str = "/tables";
const KEYS: u16 = 160;
const COMPRESSIONS: [Compression; 4] = [
    Compression::None,
    Compression::Lz4,
    Compression::Zstd,
    Compression::ZstdDictionary,
];

fn key(number: u16) -> DecoratedKey {
    DecoratedKey {
        // Neighbours share a token, and keys hold zeros.
        token: Token((i64::from(number / 2) - i64::from(KEYS / 4)) * 1_000),
        key: vec![number.to_le_bytes()[0], 0, number.to_be_bytes()[0]].into(),
    }
}

/// What compresses, but not to nothing.
fn text(number: usize, bytes: usize) -> Vec<u8> {
    let words = (number..).flat_map(|at| [b"a bird over ", &(at * 7919 % 1000).to_be_bytes()[4..]].concat());
    words.take(bytes).collect()
}

/// Partitions of all kinds; some are as wide as many blocks.
fn contents() -> impl Strategy<Value = Content> {
    let one = (
        0..KEYS,
        partition(),
        prop_oneof![3 => 0_usize..4, 1 => 4_usize..60],
        0_usize..900,
    );
    vec(one, 1..90).prop_map(|partitions| {
        let mut content = Content::new();
        for (number, mut partition, rows, bytes) in partitions {
            for row in 0..rows {
                let clustering = Clustering::from(vec![0x40, row as u8]);
                partition.add_row(clustering, simple_row(9, &text(row + usize::from(number), bytes)));
            }
            content.entry(key(number)).or_default().merge(partition);
        }
        content.retain(|_, partition| !partition.is_empty());
        content
    })
}

fn tokens() -> impl Strategy<Value = TokenSet> {
    let half = i64::from(KEYS) / 2;
    let edge = prop_oneof![
        8 => (-half..half).prop_map(|at| at * 500),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX)
    ];
    vec((edge.clone(), edge), 1..6)
        .prop_map(|edges| edges.into_iter().map(|(start, end)| range(start, end)).collect())
}

fn range(start: i64, end: i64) -> TokenRange {
    TokenRange {
        start: Token(start),
        end: Token(end),
    }
}

fn options() -> impl Strategy<Value = WriterOptions> {
    let blocks = prop_oneof![Just(64), Just(512), Just(4096)];
    (blocks, 0..COMPRESSIONS.len(), 1_u32..20).prop_map(|(block_bytes, compression, filter_bits)| {
        WriterOptions {
            block_bytes,
            compression: COMPRESSIONS[compression],
            filter_bits,
        }
    })
}

fn put(writer: &mut TableWriter, key: &DecoratedKey, partition: &Partition) -> Result<(), Error> {
    let head = Head {
        deletion: partition.deletion,
        ranges: partition.ranges.iter().next().is_some(),
    };
    writer.partition(key, head)?;
    if !partition.static_row.is_empty() {
        writer.static_row(&partition.static_row)?;
    }
    for tombstone in &partition.ranges {
        writer.range(tombstone)?;
    }
    for (clustering, row) in &partition.rows {
        writer.row(clustering, row)?;
    }
    Ok(())
}

fn table_of(fs: &MemoryFs, content: &Content, options: WriterOptions) -> Arc<Table> {
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let path = Path::new(DIR).join(file_name(1));
    let mut writer = TableWriter::new(&shared, path, Lsn(42), options).unwrap();
    for (key, partition) in content {
        put(&mut writer, key, partition).unwrap();
    }
    writer.finish().unwrap();
    Arc::new(Table::open(fs, Path::new(DIR), 1).unwrap())
}

/// How the new table is made.
#[derive(Debug, Clone, Copy)]
struct Way {
    copies: bool,
    options: WriterOptions,
    step_bytes: usize,
}

fn made(fs: &MemoryFs, from: &Arc<Table>, only: &TokenSet, way: Way) -> Result<Option<Arc<Table>>, Error> {
    let plan = Plan {
        inputs: vec![Input::Table(Arc::clone(from))],
        purging: Purging {
            policy: PurgePolicy::Keep,
            now: Seconds(10),
            memory: None,
            others: Vec::new(),
        },
        options: way.options,
        step_bytes: way.step_bytes,
        only: Some(only.clone()),
        transient: true,
        copies: way.copies,
    };
    let number = 2 + u64::from(way.copies);
    let mut worker = Worker::new(
        Arc::new(fs.clone()),
        DIR.into(),
        number,
        Arc::new(plan),
        TokenRange::ALL,
    );
    while !worker.step()? {}
    Ok(worker.output())
}

fn entries(table: &Arc<Table>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut cursor = table.cursor();
    let mut more = cursor.first().unwrap();
    while more {
        entries.push((cursor.key().unwrap().to_vec(), cursor.value_bytes().to_vec()));
        more = cursor.next().unwrap();
    }
    entries
}

/// Keys and values, and what is said of them.
type Told = (Vec<(Vec<u8>, Vec<u8>)>, Properties);

fn told(table: &Arc<Table>) -> Told {
    verify(table).unwrap();
    (entries(table), table.properties().clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_copy_is_what_a_merge_makes(
        content in contents(),
        only in tokens(),
        old in options(),
        new in options(),
        step_bytes in prop_oneof![Just(1_usize), Just(5_000), Just(1 << 20)],
    ) {
        prop_assume!(!content.is_empty());
        let fs = MemoryFs::new();
        let table = table_of(&fs, &content, old);
        let way = Way { copies: true, options: new, step_bytes };
        let copied = made(&fs, &table, &only, way).unwrap();
        let merged = made(&fs, &table, &only, Way { copies: false, ..way }).unwrap();
        prop_assert_eq!(copied.as_ref().map(told), merged.as_ref().map(told));
        let kept = content.keys().filter(|key| only.contains(key.token)).count();
        prop_assert_eq!(copied.map_or(0, |table| table.properties().partitions), kept as u64);
    }
}

/// Many small partitions, each of some bytes.
fn many(partitions: u16, bytes: usize) -> Content {
    let one = |number: u16| {
        let mut partition = Partition::default();
        partition.add_row(
            Clustering::from(Vec::new()),
            simple_row(9, &text(number.into(), bytes)),
        );
        let mut key = key(number);
        key.token = Token((i64::from(number) - i64::from(partitions / 2)) * 1_000);
        (key, partition)
    };
    (0..partitions).map(one).collect()
}

/// The blocks of a table as they are stored, without the checksums, which tell where they lie.
fn blocks(table: &Arc<Table>, file: &[u8]) -> Vec<Vec<u8>> {
    let stored = |range: Range<u64>| file[range.start as usize + 8..range.end as usize].to_vec();
    let mut blocks = Vec::new();
    for (key, _) in entries(table) {
        let block = stored(table.block_of(&key).unwrap());
        if blocks.last() != Some(&block) {
            blocks.push(block);
        }
    }
    blocks
}

#[test]
fn all_blocks_but_those_at_the_edges_are_taken_as_they_are() {
    for compression in COMPRESSIONS {
        let fs = MemoryFs::new();
        let options = WriterOptions {
            block_bytes: 4096,
            compression,
            filter_bits: 10,
        };
        let table = table_of(&fs, &many(3_000, 400), options);
        let only: TokenSet = [range(-700_500, -1_500), range(3_500, 900_500)]
            .into_iter()
            .collect();
        let way = Way {
            copies: true,
            // What is written anew is written otherwise, and all blocks can be read.
            options: WriterOptions {
                compression: Compression::None,
                block_bytes: 64,
                ..options
            },
            step_bytes: 10_000,
        };
        let copy = made(&fs, &table, &only, way).unwrap().unwrap();
        verify(&copy).unwrap();
        let old = blocks(&table, &fs.read(table.path()).unwrap());
        let new = blocks(&copy, &fs.read(copy.path()).unwrap());
        let taken = new.iter().filter(|block| old.contains(block)).count();
        // Those of all tokens, and a block at each edge.
        let wanted = only
            .ranges()
            .iter()
            .map(|range| (range.end.0 - range.start.0) as usize)
            .sum::<usize>()
            / 1_000;
        assert!(
            (taken + 4) * 3_000 >= old.len() * wanted && taken < old.len(),
            "{compression:?}: {taken} of {}, {wanted} of 3,000 partitions",
            old.len()
        );
        assert_eq!(copy.properties().partitions, wanted as u64);
    }
}

#[test]
fn a_damaged_block_is_an_error_where_it_is_wanted_and_nowhere_else() {
    let options = WriterOptions {
        block_bytes: 512,
        compression: Compression::Lz4,
        filter_bits: 10,
    };
    let content = many(300, 200);
    let only: TokenSet = [range(-50_500, 40_500)].into_iter().collect();
    let mut failed = 0;
    for number in (0..300).step_by(3) {
        let fs = MemoryFs::new();
        let table = table_of(&fs, &content, options);
        let key = crate::table::key::prefix(content.keys().nth(number).unwrap());
        let range = table.block_of(&key).unwrap();
        drop(table);
        fs.damage(&Path::new(DIR).join(file_name(1)), |bytes| {
            bytes[range.end as usize - 1] ^= 1;
        })
        .unwrap();
        let table = Arc::new(Table::open(&fs, Path::new(DIR), 1).unwrap());
        let way = Way {
            copies: true,
            options,
            step_bytes: 1_000,
        };
        let copied = made(&fs, &table, &only, way);
        let merged = made(&fs, &table, &only, Way { copies: false, ..way });
        match (copied, merged) {
            (Ok(Some(copied)), Ok(Some(merged))) => assert_eq!(told(&copied), told(&merged)),
            (Err(copied), Err(merged)) => {
                assert_eq!(copied.to_string(), merged.to_string());
                failed += 1;
            }
            (copied, merged) => panic!("{number}: {copied:?}, but {merged:?}"),
        }
    }
    assert!((30..60).contains(&failed), "{failed} of 100");
}

#[test]
fn what_is_in_a_hole_is_left_out_as_a_merge_leaves_it_out() {
    let options = WriterOptions {
        block_bytes: 512,
        compression: Compression::Lz4,
        filter_bits: 10,
    };
    let fs = MemoryFs::new();
    let table = table_of(&fs, &many(300, 200), options);
    // Its ends are within blocks.
    table.add_hole(Token(-19_000), Token(12_000));
    let only: TokenSet = [range(-50_500, 40_500)].into_iter().collect();
    let way = Way {
        copies: true,
        options,
        step_bytes: 1_000,
    };
    let copied = made(&fs, &table, &only, way).unwrap().unwrap();
    let merged = made(&fs, &table, &only, Way { copies: false, ..way })
        .unwrap()
        .unwrap();
    assert_eq!(told(&copied), told(&merged));
    assert_eq!(copied.properties().partitions, 91 - 32);
}
