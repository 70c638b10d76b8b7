//! Pages: what they cover, and that together they are the whole.

use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    ClusteringRange, KeyRange, Limits, Mutation, Page, Partition, RangeTombstone, ReadCommand, Seconds,
    TableId, Timestamp, TokenRange,
};

use crate::{
    Engine, Error,
    fixtures::{
        Content, TABLE, any_key, content_of, everything, insert, key, merge_into, mutation, open, range,
        settle,
    },
    fs::MemoryFs,
};

/// An engine whose content is spread over tables and memtables, and what it holds.
fn spread(writes: &[(Mutation, u8)]) -> (Engine, Content) {
    let mut engine = open(&MemoryFs::new());
    let mut content = Content::new();
    for (mutation, flush) in writes {
        engine.apply(mutation).unwrap();
        merge_into(&mut content, mutation);
        if *flush < 3 {
            engine.flush_all();
        }
        if *flush == 0 {
            settle(&mut engine, Seconds(1));
        }
    }
    (engine, content)
}

/// Random ranges made ordered and disjoint.
fn slices() -> impl Strategy<Value = Vec<ClusteringRange>> {
    vec(range(), 0..4).prop_map(|mut ranges| {
        ranges.sort();
        let mut slices: Vec<ClusteringRange> = Vec::new();
        for mut range in ranges {
            match slices.last().map(|last| last.end.clone()) {
                Some(None) => break,
                Some(Some(end)) => range.start = range.start.max(end),
                None => {}
            }
            if !range.is_empty() {
                slices.push(range);
            }
        }
        slices
    })
}

fn keys() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        any_key().prop_map(KeyRange::Partition),
        Just(KeyRange::Tokens(TokenRange::ALL)),
        (any_key(), any_key())
            .prop_filter("not empty", |(a, b)| a.token != b.token)
            .prop_map(|(a, b)| KeyRange::Tokens(TokenRange {
                start: a.token.min(b.token),
                end: a.token.max(b.token),
            })),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_u32..6, 1_u32..600, 1_u32..6, 0..3).prop_map(|(rows, bytes, visited, which)| {
        let mut limits = everything().limits;
        match which {
            0 => limits.rows = rows,
            1 => limits.bytes = bytes,
            _ => limits.visited = visited,
        }
        limits
    })
}

fn command() -> impl Strategy<Value = ReadCommand> {
    (keys(), slices(), any::<bool>()).prop_map(|(keys, slices, reversed)| ReadCommand {
        keys,
        slices,
        reversed,
        ..everything()
    })
}

/// What a command without limits returns, from the content.
fn reference(content: &Content, command: &ReadCommand) -> Content {
    let mut found = Content::new();
    for (key, partition) in content {
        let wanted = match &command.keys {
            KeyRange::Partition(one) => one == key,
            KeyRange::Tokens(range) => range.contains(key.token),
        };
        let mut part = Partition {
            deletion: partition.deletion,
            static_row: partition.static_row.clone(),
            ..Partition::default()
        };
        for slice in &command.slices {
            part.ranges.merge(partition.ranges.clipped(slice));
            let rows = partition.range(slice);
            part.rows
                .extend(rows.map(|(key, row)| (key.clone(), row.clone())));
        }
        if wanted && !part.is_empty() {
            found.insert(key.clone(), part);
        }
    }
    found
}

fn pages(engine: &Engine, command: &ReadCommand) -> Vec<Page> {
    let mut command = command.clone();
    let mut pages = Vec::new();
    loop {
        let page = engine.read(&command).unwrap().page;
        command.after.clone_from(&page.next);
        pages.push(page);
        assert!(pages.len() < 10_000, "every page makes progress");
        if command.after.is_none() {
            return pages;
        }
    }
}

/// A page that ends when this deadline has passed.
fn until(engine: &Engine, command: &ReadCommand, deadline: &mut dyn FnMut() -> bool) -> Page {
    let mut deadline = || deadline();
    let read = engine.read_encoded(command, &mut deadline).unwrap();
    read.page.decode().unwrap()
}

fn check_limits(page: &Page, command: &ReadCommand) {
    let mut live = 0;
    for part in &page.partitions {
        assert!(!part.partition.is_empty());
        assert!(part.partition.is_canonical());
        live += part.partition.live_rows(command.now);
        let Some(cut) = &part.cut else { continue };
        let covered = super::merge::covered(cut, command.reversed);
        assert!(part.partition.rows.keys().all(|row| covered.contains(&row.0)));
        assert_eq!(part.partition.ranges.clipped(&covered), part.partition.ranges);
    }
    assert!(live <= command.limits.rows as usize);
    let keys: Vec<_> = page.partitions.iter().map(|part| &part.key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "in token order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_page_is_what_was_written(
        writes in vec((mutation(), 0_u8..10), 1..30),
        command in command(),
    ) {
        let (engine, content) = spread(&writes);
        let page = engine.read(&command).unwrap().page;
        prop_assert_eq!(&page.next, &None);
        prop_assert!(page.partitions.iter().all(|part| part.cut.is_none()));
        prop_assert_eq!(content_of(page), reference(&content, &command));
    }

    #[test]
    fn pages_make_up_the_whole(
        writes in vec((mutation(), 0_u8..10), 1..30),
        command in command(),
        limits in limits(),
    ) {
        let (engine, content) = spread(&writes);
        let paged = ReadCommand { limits, ..command };
        let mut whole = Content::new();
        for page in pages(&engine, &paged) {
            check_limits(&page, &paged);
            for (key, part) in content_of(page) {
                whole.entry(key).or_default().merge(part);
            }
        }
        prop_assert_eq!(whole, reference(&content, &paged));
    }

    /// With a limit per partition the cuts are the same, however the pages fall.
    #[test]
    fn the_share_of_a_partition_counts_over_pages(
        writes in vec((mutation(), 0_u8..10), 1..30),
        command in command(),
        limits in limits(),
        share in 1_u32..4,
        now in option::of(0_u32..30),
    ) {
        let (engine, _) = spread(&writes);
        let mut command = command;
        command.now = Seconds(now.unwrap_or(10));
        command.limits.rows_per_partition = share;
        let whole = content_of(engine.read(&command).unwrap().page);
        command.limits = Limits { rows_per_partition: share, ..limits };
        let mut paged = Content::new();
        for page in pages(&engine, &command) {
            for (key, part) in content_of(page) {
                paged.entry(key).or_default().merge(part);
            }
        }
        for partition in paged.values() {
            prop_assert!(partition.live_rows(command.now) <= share as usize);
        }
        prop_assert_eq!(paged, whole);
    }
}

#[test]
fn a_slice_in_a_wide_partition_under_a_range_tombstone_reads_little() {
    let mut engine = open(&MemoryFs::new());
    for row in 0..20_000_u32 {
        let write = insert(key(1), &row.to_be_bytes(), 1, &[7; 20]);
        if let Err(Error::Overloaded { .. }) = engine.apply(&write) {
            engine.log().sync().unwrap();
            settle(&mut engine, Seconds(1));
            engine.apply(&write).unwrap();
        }
    }
    let mut deletion = insert(key(1), b"", 1, b"");
    deletion.partition = Partition::default();
    deletion.partition.delete_range(RangeTombstone {
        range: ClusteringRange {
            start: 100_u32.to_be_bytes().to_vec().into(),
            end: Some(19_000_u32.to_be_bytes().to_vec().into()),
        },
        deletion: starling_model::Deletion {
            timestamp: Timestamp(1),
            at: Seconds(1),
        },
    });
    engine.apply(&deletion).unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let before = engine.stats().visited;
    let mut command = everything();
    command.keys = KeyRange::Partition(key(1));
    command.slices = vec![ClusteringRange {
        start: 10_000_u32.to_be_bytes().to_vec().into(),
        end: Some(10_002_u32.to_be_bytes().to_vec().into()),
    }];
    let page = engine.read(&command).unwrap().page;
    assert!(
        page.partitions[0].partition.rows.is_empty(),
        "the rows are deleted"
    );
    assert_eq!(page.partitions[0].partition.ranges.len(), 1);
    assert!(engine.stats().visited - before < 10);
    // Over many deleted rows a page ends early, with nothing in it but the tombstone.
    command.slices = vec![ClusteringRange::ALL];
    command.limits.visited = 500;
    command.limits.rows = 101;
    command.after = engine.read(&command).unwrap().page.next;
    let page = engine.read(&command).unwrap().page;
    assert!(page.partitions.iter().all(|part| part.partition.rows.is_empty()));
    assert!(page.next.is_some());
}

/// Very many deletions of long ranges: a page of them is as long as any other, however few rows it has.
#[test]
fn range_tombstones_count_as_bytes_of_a_page() {
    for flushed in [false, true] {
        let mut engine = open(&MemoryFs::new());
        let mut partition = Partition::default();
        for n in 0..300_u32 {
            let mut start = n.to_be_bytes().to_vec();
            start.resize(400, 7);
            let range = ClusteringRange::row(&start.into());
            partition.delete_range(RangeTombstone {
                range,
                deletion: starling_model::Deletion {
                    timestamp: Timestamp(1),
                    at: Seconds(1),
                },
            });
        }
        let mut deletions = insert(key(1), b"", 1, b"");
        deletions.partition = partition.clone();
        engine.apply(&deletions).unwrap();
        if flushed {
            engine.flush_all();
            settle(&mut engine, Seconds(1));
        }
        for reversed in [false, true] {
            let mut command = ReadCommand {
                keys: KeyRange::Partition(key(1)),
                reversed,
                ..everything()
            };
            command.limits.bytes = 10_000;
            let pages = pages(&engine, &command);
            assert!((20..=50).contains(&pages.len()), "{} pages", pages.len());
            let mut whole = Content::new();
            for page in pages {
                let bounds = |found: &RangeTombstone| {
                    let end = found.range.end.as_ref().map_or(0, bytes::Bytes::len);
                    found.range.start.len() + end
                };
                let parts = page.partitions.iter();
                let bytes: usize = parts
                    .flat_map(|part| part.partition.ranges.iter().map(bounds))
                    .sum();
                assert!(bytes < 12_000, "{bytes} bytes in a page");
                for (key, part) in content_of(page) {
                    whole.entry(key).or_default().merge(part);
                }
            }
            assert_eq!(whole[&key(1)], partition, "{flushed} {reversed}");
        }
    }
}

/// An engine with every third of so many rows, and a command for all of these rows, one by one.
fn with_gaps(rows: u32) -> (Engine, ReadCommand) {
    let mut engine = open(&MemoryFs::new());
    for n in (0..rows).step_by(3) {
        engine.apply(&insert(key(1), &n.to_be_bytes(), 1, b"")).unwrap();
    }
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let row = |n: u32| ClusteringRange::row(&n.to_be_bytes().to_vec().into());
    let command = ReadCommand {
        keys: KeyRange::Partition(key(1)),
        slices: (0..rows).map(row).collect(),
        ..everything()
    };
    (engine, command)
}

#[test]
fn slices_that_find_nothing_take_time_too() {
    let (engine, mut command) = with_gaps(30);
    // All of them are behind what is there.
    let row = |n: u32| ClusteringRange::row(&n.to_be_bytes().to_vec().into());
    command.slices = (100..5_100).map(row).collect();
    for reversed in [false, true] {
        command.reversed = reversed;
        command.after = None;
        let mut pages = 0;
        loop {
            let mut looks = 0_usize;
            let mut passed = || {
                looks += 1;
                true
            };
            let page = until(&engine, &command, &mut passed);
            assert_eq!(looks, usize::from(page.next.is_some()), "it has passed at once");
            pages += 1;
            assert!(page.partitions.is_empty());
            command.after.clone_from(&page.next);
            if command.after.is_none() {
                break;
            }
        }
        assert!((100..1_000).contains(&pages), "{pages} pages");
    }
}

#[test]
fn a_read_that_is_always_late_finds_everything() {
    let (engine, command) = with_gaps(300);
    let prefixes: Vec<ClusteringRange> = (0..100_u8)
        .map(|n| ClusteringRange {
            start: vec![0, 0, 0, n * 2].into(),
            end: Some(vec![0, 0, 0, n * 2 + 1].into()),
        })
        .collect();
    // Each touches the one behind it.
    let touching: Vec<ClusteringRange> = (0..100_u8)
        .map(|n| ClusteringRange {
            start: vec![0, 0, 0, n * 2].into(),
            end: Some(vec![0, 0, 0, n * 2 + 2].into()),
        })
        .collect();
    for slices in [command.slices.clone(), prefixes, touching] {
        for reversed in [false, true] {
            let mut command = ReadCommand {
                slices: slices.clone(),
                reversed,
                ..command.clone()
            };
            let expected = content_of(engine.read(&command).unwrap().page);
            let mut found = Content::new();
            for pages in 0.. {
                let page = until(&engine, &command, &mut || true);
                command.after.clone_from(&page.next);
                for (key, part) in content_of(page) {
                    found.entry(key).or_default().merge(part);
                }
                assert!(pages < 1_000, "every page makes progress");
                if command.after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn impossible_commands_are_refused() {
    let engine = open(&MemoryFs::new());
    let mut wrapping = everything();
    wrapping.keys = KeyRange::Tokens(TokenRange {
        start: key(4).token,
        end: key(0).token,
    });
    let mut zero = everything();
    zero.limits.rows = 0;
    let mut overlapping = everything();
    overlapping.slices = vec![ClusteringRange::ALL, ClusteringRange::ALL];
    let mut elsewhere = everything();
    elsewhere.keys = KeyRange::Partition(key(1));
    elsewhere.after = Some(starling_model::Position {
        key: key(2),
        clustering: None,
        rows: 0,
    });
    for command in [wrapping, zero, overlapping, elsewhere] {
        assert!(matches!(engine.read(&command), Err(Error::Invalid(_))));
    }
    let unknown = ReadCommand {
        table: TableId(TABLE.0 + 1),
        ..everything()
    };
    assert_eq!(engine.read(&unknown).unwrap().page, Page::default());
}
