//! Tokens that are forgotten go out of damaged files too, and nothing else does.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use starling_model::{KeyRange, Mutation, Seconds, TableId, Token, TokenRange, TokenSet};
use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

use super::quarantine::{self, PARTITIONS, filled_with, key, look, one, write};
use crate::{
    Engine, Error, Options, Step,
    fixtures::{TABLE, dir, everything, settle},
    fs::{Fs, MemoryFs, memory::Faults},
    version::quarantine::MAX_PARTS,
};

fn spoil(fs: &MemoryFs, path: &Path, at: usize) {
    fs.damage(path, |bytes| bytes[at] ^= 1).unwrap();
}

/// From one partition to another, both included.
fn partitions(from: i64, to: i64) -> TokenSet {
    TokenSet::from(TokenRange {
        start: Token(key(from).token.0 - 1),
        end: key(to).token,
    })
}

/// Several partitions in a block.
fn options() -> Options {
    Options {
        block_bytes: 512,
        ..quarantine::options()
    }
}

/// After a crash.
fn reopen(fs: &mut MemoryFs, engine: Engine) -> Engine {
    drop(engine);
    *fs = fs.after_crash(&mut |_, _| 0);
    Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0
}

/// Forgets tokens, and says whether that is through and what it freed.
fn forget(engine: &mut Engine, tokens: TokenSet) -> Option<u64> {
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let done = move |outcome: Result<u64, Error>| *tell.lock().unwrap() = Some(outcome.unwrap());
    engine.discard(TABLE, tokens, done).unwrap();
    look(engine);
    let told = told.lock().unwrap();
    *told
}

/// What becomes of each partition: there, damaged, or gone.
fn seen(engine: &Engine) -> Vec<char> {
    (0..PARTITIONS)
        .map(|number| match engine.read(&one(number)) {
            Ok(read) if read.page.partitions.is_empty() => ' ',
            Ok(_) => '+',
            Err(Error::Corrupt { .. }) => '!',
            Err(error) => panic!("{error}"),
        })
        .collect()
}

/// An engine with one table, damaged in its middle; the first and last partition that can't be read.
fn damaged(fs: &mut MemoryFs) -> (Engine, i64, i64) {
    let (engine, path) = filled_with(fs, options());
    let middle = engine.files(TABLE)[0].bytes() as usize / 2;
    spoil(fs, &path, middle);
    let mut engine = reopen(fs, engine);
    seen(&engine);
    assert_eq!(engine.quarantined().len(), 1);
    let all = seen(&engine);
    let first = all.iter().position(|it| *it == '!').unwrap() as i64;
    let last = all.iter().rposition(|it| *it == '!').unwrap() as i64;
    assert!(first + 2 < last, "several are damaged: {first} to {last}");
    (engine, first, last)
}

#[test]
fn a_file_that_stays_damaged_says_nothing_of_what_is_forgotten() {
    let mut fs = MemoryFs::new();
    let (mut engine, first, last) = damaged(&mut fs);
    // Some whole ones in front of the damage, and a part of it.
    assert!(forget(&mut engine, partitions(10, first + 1)).is_some());
    let expected: Vec<char> = (0..PARTITIONS)
        .map(|number| match number {
            _ if (10..=first + 1).contains(&number) => ' ',
            _ if (first..=last).contains(&number) => '!',
            _ => '+',
        })
        .collect();
    assert_eq!(seen(&engine), expected);
    let mut engine = reopen(&mut fs, engine);
    assert_eq!(seen(&engine), expected, "the manifest has it");
    // Asked again there is nothing to do.
    assert_eq!(forget(&mut engine, partitions(10, first + 1)), Some(0));
    assert_eq!(engine.quarantined().len(), 1);
    // And once it is healed, nothing of it comes back.
    for number in first + 2..=last {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.heal(TABLE, engine_range());
    let healed: Vec<char> = expected
        .iter()
        .map(|it| if *it == '!' { '+' } else { *it })
        .collect();
    assert_eq!(seen(&engine), healed);
    engine.flush_all();
    settle(&mut engine, Seconds(78));
    engine.compact(TABLE);
    settle(&mut engine, Seconds(79));
    assert_eq!(engine.stats().tables, 1, "it can be compacted again");
    let engine = reopen(&mut fs, engine);
    assert_eq!(seen(&engine), healed);
    let read = engine.read(&everything()).unwrap();
    assert_eq!(
        read.page.partitions.len(),
        healed.iter().filter(|it| **it == '+').count()
    );
}

#[test]
fn a_file_whose_damage_is_forgotten_is_written_anew() {
    let mut fs = MemoryFs::new();
    let (mut engine, first, last) = damaged(&mut fs);
    let old = engine.stats().table_bytes;
    assert!(forget(&mut engine, partitions(first - 1, last + 1)) > Some(0));
    assert_eq!(engine.quarantined(), []);
    let gone = (last + 1) - (first - 1) + 1;
    let engine = reopen(&mut fs, engine);
    let seen = seen(&engine);
    assert_eq!(
        seen.iter().filter(|it| **it == '+').count() as i64,
        PARTITIONS - gone
    );
    assert!(!seen.contains(&'!'));
    assert!(engine.stats().table_bytes < old, "its bytes are gone");
}

#[test]
fn a_damaged_file_goes_if_nothing_of_it_belongs_here() {
    let mut fs = MemoryFs::new();
    let (mut engine, ..) = damaged(&mut fs);
    assert!(forget(&mut engine, partitions(0, PARTITIONS - 1)) > Some(0));
    assert_eq!(engine.stats().tables, 0);
    assert_eq!(engine.quarantined(), []);
}

#[test]
fn a_file_that_can_t_be_opened_goes_once_its_tokens_are_forgotten() {
    let mut fs = MemoryFs::new();
    let (engine, path) = filled_with(&fs, options());
    spoil(&fs, &path, 0);
    let mut engine = reopen(&mut fs, engine);
    let tokens = engine.quarantined()[0].tokens;
    let half = Token(key(PARTITIONS / 2).token.0);
    let lower = TokenRange { end: half, ..tokens };
    assert_eq!(forget(&mut engine, TokenSet::from(lower)), Some(0));
    let mut engine = reopen(&mut fs, engine);
    assert_eq!(engine.quarantined().len(), 1, "the other half is still damaged");
    assert_eq!(seen(&engine)[1], ' ');
    assert_eq!(seen(&engine)[PARTITIONS as usize - 1], '!');
    let upper = TokenRange {
        start: half,
        ..tokens
    };
    assert_eq!(forget(&mut engine, TokenSet::from(upper)), Some(0));
    let mut engine = reopen(&mut fs, engine);
    assert_eq!(engine.quarantined(), []);
    look(&mut engine);
    assert!(!fs.exists(&path).unwrap(), "the file is gone");
}

#[test]
fn a_truncation_that_fails_does_not_take_what_was_to_be_made_durable() {
    let mut fs = MemoryFs::new();
    let (mut engine, first, _) = damaged(&mut fs);
    look(&mut engine);
    let other = TableId(99);
    engine
        .apply(&Mutation {
            table: other,
            ..write(0)
        })
        .unwrap();
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let done = move |outcome: Result<u64, Error>| *tell.lock().unwrap() = Some(outcome.unwrap());
    engine.discard(TABLE, partitions(10, first - 1), done).unwrap();
    let mut job = engine.next_job(Seconds(77)).unwrap();
    assert_eq!(format!("{job:?}"), "Install");
    fs.set_faults(Faults {
        fail_syncs: true,
        ..Faults::default()
    });
    engine.truncate(other).unwrap_err();
    fs.set_faults(Faults::default());
    // Overtaken, it writes nothing.
    assert_eq!(job.step().unwrap(), Step::Done);
    engine.finish(job).unwrap();
    look(&mut engine);
    assert!(told.lock().unwrap().is_some());
    let seen_before = seen(&engine);
    assert_eq!(seen_before[10], ' ');
    let engine = reopen(&mut fs, engine);
    assert_eq!(seen(&engine), seen_before, "it was told to be durable");
}

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn damaged_files_are_looked_at_again_only_if_their_damage_changed() {
    let mut fs = MemoryFs::new();
    let (engine, path) = filled_with(&fs, options());
    spoil(&fs, &path, 0);
    let mut engine = reopen(&mut fs, engine);
    let bit = |at: i64| TokenRange {
        start: Token(at),
        end: Token(at + 5),
    };
    for at in (0..).step_by(10).take(MAX_PARTS) {
        engine.heal(TABLE, bit(at));
    }
    look(&mut engine);
    // It is in too many pieces to forget some more, and the discard waits for a flush.
    engine.apply(&write(0)).unwrap();
    let (told, warnings) = (Arc::new(Mutex::new(None)), Warnings::default());
    let tell = Arc::clone(&told);
    let done = move |outcome| *tell.lock().unwrap() = Some(outcome);
    engine.discard(TABLE, partitions(0, 1), done).unwrap();
    let flush = engine.next_job(Seconds(77)).unwrap();
    assert!(format!("{flush:?}").starts_with("Flush"), "{flush:?}");
    let look_often = |engine: &mut Engine| {
        tracing::subscriber::with_default(warnings.clone(), || {
            for _ in 0..10 {
                assert!(engine.next_job(Seconds(77)).is_none());
            }
        });
    };
    look_often(&mut engine);
    assert!(told.lock().unwrap().is_none());
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
    // Fewer pieces are another matter.
    let start = Token(5_000);
    assert!(
        engine.heal(
            TABLE,
            TokenRange {
                start,
                end: Token::MAX
            }
        ) > 0
    );
    look(&mut engine);
    look_often(&mut engine);
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
    assert_eq!(seen(&engine)[1], ' ', "it is forgotten now");
    drop(flush);
}

fn engine_range() -> TokenRange {
    match everything().keys {
        KeyRange::Tokens(range) => range,
        KeyRange::Partition(_) => unreachable!("everything is asked for"),
    }
}
