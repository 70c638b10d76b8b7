//! Ranges that go to other nodes, and that are forgotten after they went.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use proptest::{collection::vec, prelude::*};
use starling_model::{Mutation, Seconds, Token, TokenRange, TokenSet};

use crate::{
    Compression, Engine, Error, Exported, Options, Step,
    fixtures::{Content, TABLE, contents, insert, key, merge_into, mutation, open, settle, small_options},
    fs::{Fs, MemoryFs, memory::Faults},
};

const OUT: &str = "/out";

type Outcome<T> = Arc<Mutex<Option<Result<T, Error>>>>;

fn outcome<T: Send + 'static>() -> (Outcome<T>, impl FnOnce(Result<T, Error>) + Send + 'static) {
    let outcome: Outcome<T> = Arc::default();
    let told = Arc::clone(&outcome);
    (outcome, move |result| *told.lock().unwrap() = Some(result))
}

fn taken<T>(outcome: &Outcome<T>) -> Result<T, Error> {
    outcome.lock().unwrap().take().expect("it is told")
}

/// Sets that hold some of the keys' tokens, with edges on them and between.
fn tokens() -> impl Strategy<Value = TokenSet> {
    let edge = prop_oneof![
        (-5_i64..4).prop_map(|at| at * 500),
        Just(i64::MIN),
        Just(i64::MAX)
    ];
    vec((edge.clone(), edge), 1..4).prop_map(|edges| {
        let ranges = edges.into_iter().map(|(start, end)| TokenRange {
            start: Token(start),
            end: Token(end),
        });
        ranges.collect()
    })
}

fn of_tokens(content: &Content, tokens: &TokenSet) -> Content {
    let inside = content.iter().filter(|(key, _)| tokens.contains(key.token));
    inside
        .map(|(key, partition)| (key.clone(), partition.clone()))
        .collect()
}

/// Applies writes, with flushes and background work in between, as the numbers say.
fn write(engine: &mut Engine, mutations: &[(Mutation, u8)]) -> Content {
    let mut content = Content::new();
    for (mutation, luck) in mutations {
        engine.apply(mutation).unwrap();
        merge_into(&mut content, mutation);
        if luck % 4 == 0 {
            engine.flush_all();
        }
        if luck % 16 == 0 {
            settle(engine, Seconds(1));
        }
    }
    engine.log().sync().unwrap();
    content
}

fn export(engine: &mut Engine, tokens: &TokenSet, parts: &[TokenRange]) -> Result<Vec<Exported>, Error> {
    let (told, done) = outcome();
    engine.export(TABLE, tokens, parts, OUT.into(), done).unwrap();
    settle(engine, Seconds(1));
    taken(&told)
}

fn ingest(engine: &mut Engine, files: Vec<PathBuf>) {
    let (told, done) = outcome();
    engine.ingest(TABLE, files, done).unwrap();
    settle(engine, Seconds(1));
    taken(&told).unwrap();
}

fn whole() -> TokenRange {
    small_options().tokens
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_exported_is_what_another_engine_has_afterwards(
        mutations in vec((mutation(), any::<u8>()), 0..40),
        tokens in tokens(),
        cut in -4_i64..3,
    ) {
        let fs = MemoryFs::new();
        let mut engine = open(&fs);
        let content = write(&mut engine, &mutations);
        let cut = Token(cut * 500);
        let parts = [TokenRange { start: whole().start, end: cut }, TokenRange { start: cut, end: whole().end }];
        let parts: Vec<TokenRange> = parts.into_iter().filter(|part| part.start < part.end).collect();
        let exported = export(&mut engine, &tokens, &parts).unwrap();
        // The source is as it was.
        prop_assert_eq!(contents(&engine), content.clone());
        let mut other = Engine::open(Arc::new(fs.clone()), "/other".into(), small_options()).unwrap().0;
        for file in &exported {
            prop_assert_eq!(fs.read(&file.path).unwrap().len() as u64, file.bytes);
        }
        ingest(&mut other, exported.iter().map(|file| file.path.clone()).collect());
        prop_assert_eq!(contents(&other), of_tokens(&content, &tokens));
        // Each file keeps to its part.
        for (at, part) in parts.iter().enumerate() {
            let mut third = Engine::open(Arc::new(fs.clone()), format!("/third-{at}").into(), small_options()).unwrap().0;
            ingest(&mut third, exported.iter().filter(|file| file.part == at).map(|file| file.path.clone()).collect());
            let only = tokens.intersection(&TokenSet::from(*part));
            prop_assert_eq!(contents(&third), of_tokens(&content, &only));
        }
    }

    #[test]
    fn what_is_forgotten_is_gone_and_nothing_else_also_after_a_crash_at_any_step(
        mutations in vec((mutation(), any::<u8>()), 0..40),
        tokens in tokens(),
        late in vec((mutation(), any::<u8>()), 0..8),
        crash_at in 0_usize..60,
    ) {
        let fs = MemoryFs::new();
        let mut engine = open(&fs);
        let mut content = write(&mut engine, &mutations);
        let (told, done) = outcome();
        engine.discard(TABLE, tokens.clone(), done).unwrap();
        // Writes to what stays go on meanwhile.
        for (mutation, _) in late.iter().filter(|(mutation, _)| !tokens.contains(mutation.key.token)) {
            engine.apply(mutation).unwrap();
            merge_into(&mut content, mutation);
        }
        engine.log().sync().unwrap();
        let kept = of_tokens(&content, &tokens.complement());
        let mut steps = 0;
        while let Some(mut job) = engine.next_job(Seconds(1)) {
            loop {
                if steps == crash_at {
                    let engine = open(&fs.after_crash(&mut |_, _| 0));
                    prop_assert_eq!(of_tokens(&contents(&engine), &tokens.complement()), kept.clone());
                }
                steps += 1;
                if job.step().unwrap() == Step::Done {
                    break;
                }
            }
            engine.finish(job).unwrap();
        }
        taken(&told).unwrap();
        prop_assert_eq!(contents(&engine), kept.clone());
        drop(engine);
        // Durably, and asked again there is nothing to do.
        let mut engine = open(&fs.after_crash(&mut |_, _| 0));
        prop_assert_eq!(contents(&engine), kept.clone());
        settle(&mut engine, Seconds(1));
        let before = engine.stats();
        let (told, done) = outcome();
        engine.discard(TABLE, tokens, done).unwrap();
        settle(&mut engine, Seconds(1));
        prop_assert_eq!(taken(&told).unwrap(), 0);
        prop_assert_eq!(engine.stats().compacted_bytes_out, before.compacted_bytes_out);
        prop_assert_eq!(contents(&engine), kept);
    }

    #[test]
    fn sizes_add_up(mutations in vec((mutation(), any::<u8>()), 0..40), tokens in tokens()) {
        let mut engine = open(&MemoryFs::new());
        write(&mut engine, &mutations);
        engine.flush_all();
        settle(&mut engine, Seconds(1));
        let all = engine.bytes_of(TABLE, &TokenSet::from(TokenRange::ALL));
        prop_assert_eq!(all, engine.stats().table_bytes);
        let parts = engine.bytes_of(TABLE, &tokens) + engine.bytes_of(TABLE, &tokens.complement());
        prop_assert!(parts.abs_diff(all) <= 64, "{parts} of {all}");
    }
}

fn fill(engine: &mut Engine, keys: std::ops::Range<u8>, count: i64) {
    for number in 0..count {
        let at = keys.start + (number % i64::from(keys.end - keys.start)) as u8;
        engine
            .apply(&insert(
                key(at),
                &number.to_be_bytes(),
                number,
                b"a value of some bytes",
            ))
            .unwrap();
    }
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(engine, Seconds(1));
}

fn range(start: i64, end: i64) -> TokenSet {
    TokenSet::from(TokenRange {
        start: Token(start),
        end: Token(end),
    })
}

#[test]
fn a_table_that_is_wanted_whole_is_linked_and_dropped_without_a_read() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0..2, 10);
    let before = engine.stats();
    let wanted = range(-2_001, -1_000);
    let exported = export(&mut engine, &wanted, &[whole()]).unwrap();
    let live = fs.list(Path::new("/shard")).unwrap();
    let names: Vec<_> = exported
        .iter()
        .map(|file| file.path.file_name().unwrap())
        .collect();
    assert!(!names.is_empty());
    assert!(
        names
            .iter()
            .all(|name| live.iter().any(|path| path.file_name() == Some(name))),
        "{names:?} are files of the engine: {live:?}"
    );
    let (told, done) = outcome();
    engine.discard(TABLE, wanted, done).unwrap();
    settle(&mut engine, Seconds(1));
    assert_eq!(taken(&told).unwrap(), before.table_bytes);
    let after = engine.stats();
    assert_eq!(
        (after.tables, after.compacted_bytes_out),
        (0, before.compacted_bytes_out)
    );
}

#[test]
fn large_pieces_of_tables_go_as_they_are_stored_and_small_ones_become_one() {
    let fs = MemoryFs::new();
    let options = |compression, table_bytes| Options {
        memtable_bytes: 1 << 20,
        memory_bytes: 8 << 20,
        block_bytes: 4096,
        compression,
        table_bytes,
        ..small_options()
    };
    let open = |options| {
        Engine::open(Arc::new(fs.clone()), "/shard".into(), options)
            .unwrap()
            .0
    };
    let value = [7; 1_000];
    let mut engine = open(options(Compression::Lz4, 1 << 40));
    for flush in 0..2_u8 {
        for number in 0..80_u8 {
            let row = insert(key(number % 8), &[flush, number], 1, &value);
            engine.apply(&row).unwrap();
        }
        engine.log().sync().unwrap();
        engine.flush_all();
        settle(&mut engine, Seconds(1));
    }
    assert_eq!(engine.stats().tables, 2);
    let bytes = engine.stats().table_bytes;
    drop(engine);
    // What is written anew of half of the keys is more than all that was stored.
    let wanted = range(-2_001, -1_000);
    for (table_bytes, files, copied) in [(bytes, 2, true), (1 << 40, 1, false)] {
        let mut engine = open(options(Compression::None, table_bytes));
        let exported = export(&mut engine, &wanted, &[whole()]).unwrap();
        let sum: u64 = exported.iter().map(|file| file.bytes).sum();
        assert_eq!(
            (exported.len(), sum < bytes),
            (files, copied),
            "{table_bytes}: {exported:?} of {bytes}"
        );
    }
}

#[test]
fn an_export_that_can_t_be_written_is_an_error_and_leaves_nothing() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    fill(&mut engine, 0..8, 40);
    let (told, done) = outcome();
    engine
        .export(TABLE, &range(-1_500, 500), &[whole()], OUT.into(), done)
        .unwrap();
    let mut job = until_job(&mut engine, "Export").expect("it is offered");
    let full = Faults {
        capacity: Some(0),
        ..Faults::default()
    };
    fs.set_faults(full);
    let outcome = loop {
        match job.step() {
            Ok(Step::More) => {}
            other => break other,
        }
    };
    assert!(outcome.is_err());
    engine.finish(job).unwrap();
    assert!(taken(&told).is_err());
    // Nor is it begun on a full disk.
    let refused = export(&mut engine, &range(-1_500, 500), &[whole()]);
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    fs.set_faults(Faults::default());
    settle(&mut engine, Seconds(1));
    assert_eq!(fs.list(Path::new(OUT)).unwrap_or_default(), Vec::<PathBuf>::new());
    assert_eq!(
        export(&mut engine, &range(-1_500, 500), &[whole()])
            .unwrap()
            .len(),
        1
    );
}

/// Jobs are run until there is one of a kind, which is handed out.
fn until_job(engine: &mut Engine, kind: &str) -> Option<crate::Job> {
    while let Some(mut job) = engine.next_job(Seconds(1)) {
        if format!("{job:?}").starts_with(kind) {
            return Some(job);
        }
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
    None
}

#[test]
fn an_export_keeps_no_memtable() {
    let mut engine = open(&MemoryFs::new());
    engine.apply(&insert(key(1), b"a", 1, b"value")).unwrap();
    engine.log().sync().unwrap();
    let (told, done) = outcome();
    let all = TokenSet::from(TokenRange::ALL);
    engine
        .export(TABLE, &all, &[TokenRange::ALL], OUT.into(), done)
        .unwrap();
    // What comes meanwhile does not hold it up.
    engine.apply(&insert(key(1), b"b", 2, b"value")).unwrap();
    engine.log().sync().unwrap();
    let flush = until_job(&mut engine, "Flush").expect("what it holds is flushed first");
    assert!(
        until_job(&mut engine, "Export").is_none(),
        "it waits for the flush"
    );
    let mut flush = flush;
    while flush.step().unwrap() == Step::More {}
    engine.finish(flush).unwrap();
    settle(&mut engine, Seconds(1));
    assert_eq!(taken(&told).unwrap().len(), 1);
}
