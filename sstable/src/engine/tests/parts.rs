//! Tokens, cut for their way to another node.

use std::{
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex},
};

use proptest::{collection::vec, prelude::*};
use starling_model::{Seconds, Token, TokenRange, TokenSet};

use crate::{
    Engine, Exported,
    fixtures::{TABLE, insert, key, mutation, open, settle, small_options},
    fs::{Fs, MemoryFs},
};

const OUT: &str = "/out";

fn slices(cut: i64) -> [TokenRange; 2] {
    let TokenRange { start, end } = small_options().tokens;
    let cut = Token(cut);
    [TokenRange { start, end: cut }, TokenRange { start: cut, end }]
}

/// Rows of all keys, in so many flushes, compacted if there are two.
fn filled(rows: i64, flushes: i64) -> (MemoryFs, Engine) {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for number in 0..rows {
        let clustering = number.to_be_bytes();
        let row = insert(
            key((number % 8) as u8),
            &clustering,
            number,
            b"a value of some bytes",
        );
        engine.apply(&row).unwrap();
        if (number + 1) % (rows / flushes) == 0 {
            engine.log().sync().unwrap();
            engine.flush_all();
            settle(&mut engine, Seconds(1));
        }
    }
    if flushes > 1 {
        engine.compact(TABLE);
        settle(&mut engine, Seconds(1));
    }
    (fs, engine)
}

fn whole() -> TokenSet {
    TokenSet::from(small_options().tokens)
}

fn parts(engine: &Engine, bytes: RangeInclusive<u64>) -> Vec<(TokenSet, u64)> {
    engine.parts_of(TABLE, &whole(), &[small_options().tokens], &bytes)
}

fn export(engine: &mut Engine, tokens: &TokenSet) -> Vec<Exported> {
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let done = move |outcome| *tell.lock().unwrap() = Some(outcome);
    engine
        .export(TABLE, tokens, &[small_options().tokens], OUT.into(), done)
        .unwrap();
    settle(engine, Seconds(1));
    let outcome = told.lock().unwrap().take();
    outcome.expect("it is told").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_token_is_in_one_part_of_one_slice(
        mutations in vec((mutation(), any::<u8>()), 0..40),
        edges in vec((-2_500_i64..1_500, -2_500_i64..1_500), 1..4),
        cut in -2_000_i64..1_000,
        (usual, more) in (1_u64..2_000, 0_u64..2_000),
    ) {
        let fs = MemoryFs::new();
        let mut engine = open(&fs);
        for (mutation, luck) in &mutations {
            engine.apply(mutation).unwrap();
            if luck % 4 == 0 {
                engine.flush_all();
                settle(&mut engine, Seconds(1));
            }
        }
        let range = |(start, end)| TokenRange { start: Token(start), end: Token(end) };
        let tokens: TokenSet = edges.into_iter().map(range).collect();
        let slices = slices(cut);
        let parts = engine.parts_of(TABLE, &tokens, &slices, &(usual..=usual + more));
        let mut seen = TokenSet::default();
        for (part, bytes) in &parts {
            prop_assert!(!part.is_empty());
            prop_assert!(seen.intersection(part).is_empty(), "{part:?} is not the only one");
            prop_assert!(slices.iter().any(|slice| part.without(&TokenSet::from(*slice)).is_empty()));
            prop_assert_eq!(engine.bytes_of(TABLE, part), *bytes);
            seen = seen.union(part);
        }
        let wanted = tokens.intersection(&slices.into_iter().collect());
        prop_assert!(wanted.without(&seen).is_empty() && seen.without(&wanted).is_empty());
    }
}

#[test]
fn parts_are_small_where_tables_lie_side_by_side_and_every_table_goes_as_it_is() {
    let (fs, mut engine) = filled(240, 4);
    let tables = engine.stats().tables;
    assert!(tables > 1, "they were cut");
    let parts = parts(&engine, 1..=u64::MAX);
    assert!(parts.len() > 1, "{parts:?}");
    let live = fs.list(Path::new("/shard")).unwrap();
    let is_linked = |file: &Exported| live.iter().any(|path| path.file_name() == file.path.file_name());
    let mut files = 0;
    for (part, _) in &parts {
        let exported = export(&mut engine, part);
        assert!(exported.iter().all(is_linked), "{exported:?} of {live:?}");
        files += exported.len();
    }
    assert_eq!(files as u64, tables as u64);
}

#[test]
fn a_table_of_many_tokens_is_cut_only_if_it_is_too_large() {
    let (_, engine) = filled(8, 1);
    assert_eq!(engine.stats().tables, 1);
    let size = engine.bytes_of(TABLE, &whole());
    assert_eq!(parts(&engine, 1..=size), [(whole(), size)]);
    let cut = parts(&engine, 1..=size - 1);
    assert!(cut.len() > 1, "{cut:?}");
    assert_eq!(parts(&engine, size..=size), [(whole(), size)]);
}
