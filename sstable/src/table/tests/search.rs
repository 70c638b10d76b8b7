//! A table is a sorted map, whatever lies in it and however it is compressed.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::{collection::btree_map, collection::vec, prelude::*};
use starling_model::{DecoratedKey, Token, encoding};

use super::{DIR, simple_row};
use crate::{
    Compression,
    fs::{Fs, MemoryFs},
    log::Lsn,
    table::{Table, TableWriter, Target, WriterOptions, key, key::Kind, reader::file_name, verify},
};

const COMPRESSIONS: [Compression; 4] = [
    Compression::None,
    Compression::Lz4,
    Compression::Zstd,
    Compression::ZstdDictionary,
];

/// An entry: a token, one of few keys, static or not, the clustering.
type Name = (i64, u8, bool, Vec<u8>);

fn name() -> impl Strategy<Value = Name> {
    let token = prop_oneof![
        any::<i64>(),
        -2_i64..3,
        Just(7),
        (0_i64..100).prop_map(|at| at << 56)
    ];
    let clustering = prop_oneof![vec(0_u8..3, 0..4), vec(0_u8..2, 8..14)];
    (token, 0_u8..3, any::<bool>(), clustering)
}

fn partition((token, key, ..): &Name) -> DecoratedKey {
    DecoratedKey {
        token: Token(*token),
        key: vec![*key; usize::from(*key) * 4].into(),
    }
}

fn kind_and_clustering(name: &Name) -> (Kind, &[u8]) {
    if name.2 {
        (Kind::Static, &[])
    } else {
        (Kind::Row, &name.3)
    }
}

fn flat(name: &Name) -> Vec<u8> {
    let (kind, clustering) = kind_and_clustering(name);
    key::entry(&key::prefix(&partition(name)), kind, clustering)
}

fn value(filling: u8) -> Vec<u8> {
    let mut out = encoding::Writer::default();
    out.row(&simple_row(
        i64::from(filling),
        &vec![filling; usize::from(filling)],
    ));
    out.into_vec()
}

fn build(entries: &BTreeMap<Vec<u8>, Vec<u8>>, block_bytes: usize, compression: Compression) -> Arc<Table> {
    let memory = MemoryFs::new();
    memory.create_dir_all(Path::new(DIR)).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(memory.clone());
    let options = WriterOptions {
        block_bytes,
        compression,
        filter_bits: 10,
    };
    let mut writer = TableWriter::new(&fs, Path::new(DIR).join(file_name(1)), Lsn(9), options).unwrap();
    for (key, value) in entries {
        writer.push(key, value).unwrap();
    }
    writer.finish().unwrap();
    Arc::new(Table::open(&memory, Path::new(DIR), 1).unwrap())
}

fn check(table: &Arc<Table>, entries: &BTreeMap<Vec<u8>, Vec<u8>>, absent: &[Name]) {
    let whole = verify(table).unwrap();
    assert_eq!(whole.entries, entries.len() as u64);
    let mut cursor = table.cursor();
    let mut more = cursor.first().unwrap();
    for (key, value) in entries {
        assert!(more);
        assert_eq!((cursor.key(), cursor.value_bytes()), (Some(&key[..]), &value[..]));
        more = cursor.next().unwrap();
    }
    assert!(!more);
    more = cursor.last().unwrap();
    for (key, value) in entries.iter().rev() {
        assert!(more);
        assert_eq!(
            (cursor.key(), cursor.value().as_deref()),
            (Some(&key[..]), Some(&value[..]))
        );
        more = cursor.prev().unwrap();
    }
    assert!(!more);
    for target in absent.iter().map(flat).chain(entries.keys().step_by(7).cloned()) {
        let after = entries.range(target.clone()..).next();
        assert_eq!(cursor.seek(&target).unwrap(), after.is_some());
        assert_eq!(cursor.key(), after.map(|(key, _)| &key[..]));
        let before = entries.range(..target.clone()).next_back();
        assert_eq!(cursor.seek_before(&target).unwrap(), before.is_some());
        assert_eq!(cursor.key(), before.map(|(key, _)| &key[..]));
    }
}

fn find(table: &Arc<Table>, name: &Name) -> Option<Vec<u8>> {
    let (kind, clustering) = kind_and_clustering(name);
    let mut target = Target::new(&partition(name), kind, clustering);
    let found = table.find(&mut target).unwrap();
    if found.is_some() {
        assert!(table.may_contain_target(&target).unwrap());
        assert!(table.locate(&target).unwrap().is_some());
    }
    found.map(|value| value.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Blocks so small that there are some stripes, also inside of one partition.
    #[test]
    fn a_table_is_a_sorted_map(
        content in btree_map(name(), 0_u8..40, 1..900),
        absent in vec(name(), 20),
        block_bytes in prop_oneof![Just(1), Just(200), Just(4096)],
    ) {
        let entries: BTreeMap<_, _> = content.iter().map(|(name, filling)| (flat(name), value(*filling))).collect();
        for compression in COMPRESSIONS {
            let table = build(&entries, block_bytes, compression);
            check(&table, &entries, &absent);
            for name in content.keys().chain(&absent) {
                prop_assert_eq!(find(&table, name), entries.get(&flat(name)).cloned());
            }
        }
    }
}

/// A partition of many stripes is found through the filter of the first and the index of each.
#[test]
fn a_row_of_a_wide_partition_is_found_wherever_it_is() {
    let name = |row: u32| {
        (
            5,
            2,
            false,
            [&b"a long clustering "[..], &row.to_be_bytes()].concat(),
        )
    };
    let entries: BTreeMap<_, _> = (0..4_000).map(|row| (flat(&name(row * 2)), value(20))).collect();
    let table = build(&entries, 100, Compression::Lz4);
    assert!(table.stripes() > 3, "{} stripes", table.stripes());
    for row in (0..4_000).step_by(13) {
        assert!(find(&table, &name(row * 2)).is_some());
        assert!(find(&table, &name(row * 2 + 1)).is_none());
    }
    assert_eq!(table.properties().partitions, 1);
    verify(&table).unwrap();
}

/// Rows that hold much the same text, but for its language.
fn alike(language: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let row = |at: i64| {
        let text = format!(
            "{{\"user\":{},\"country\":\"Switzerland\",\"language\":\"{language}\"}}",
            at * 7919
        );
        let mut out = encoding::Writer::default();
        out.row(&simple_row(at, text.as_bytes()));
        (flat(&(at << 49, 1, false, Vec::new())), out.into_vec())
    };
    (0..12_000).map(row).collect()
}

/// What a dictionary is for: small blocks that are alike.
#[test]
fn a_dictionary_makes_small_blocks_smaller() {
    let entries = alike("Romansh");
    let [plain, trained, sampled] = [Compression::Zstd, Compression::ZstdDictionary, Compression::Lz4]
        .map(|compression| build(&entries, 512, compression));
    assert!(
        trained.bytes() * 10 < plain.bytes() * 9,
        "{} against {}",
        trained.bytes(),
        plain.bytes()
    );
    for table in [trained, sampled] {
        check(&table, &entries, &[]);
        let found = find(&table, &(77 << 49, 1, false, Vec::new()));
        assert!(found.is_some_and(|value| value.ends_with(b"Romansh\"}")));
    }
}

/// A point read looks into one table after the other, and each has a dictionary of its own.
#[test]
fn each_table_is_read_with_its_own_dictionary() {
    let languages = ["Romansh", "French", "German", "Italian"];
    let contents = languages.map(alike);
    let tables: Vec<_> = contents
        .iter()
        .map(|entries| build(entries, 512, Compression::Lz4))
        .collect();
    let mut target = Target::default();
    for at in (0..12_000_i64).step_by(37) {
        let name = (at << 49, 1, false, Vec::new());
        target.set(&partition(&name), Kind::Row, &[]);
        for (table, entries) in tables.iter().zip(&contents) {
            let found = table.find(&mut target).unwrap();
            assert_eq!(found.as_deref(), entries.get(&flat(&name)).map(Vec::as_slice));
        }
    }
}
