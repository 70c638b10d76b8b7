//! An export that is on its way when damage is met, by others, in a table that it reads.

use std::sync::{Arc, Mutex};

use starling_model::{Seconds, Token, TokenRange, TokenSet};

use super::quarantine::{PARTITIONS, filled_with, key, look, one, write};
use crate::{
    Engine, Error, Exported, Job, Options, Step,
    fixtures::{TABLE, contents, dir},
    fs::MemoryFs,
};

/// Several steps for an export, which copies blocks or reads entries.
fn options(copies: bool) -> Options {
    Options {
        block_bytes: 512,
        table_bytes: if copies { 700 } else { 1 << 40 },
        ..super::quarantine::options()
    }
}

/// From one partition to another, both included.
fn partitions(from: i64, to: i64) -> TokenRange {
    TokenRange {
        start: Token(key(from).token.0 - 1),
        end: key(to).token,
    }
}

type Outcome = Arc<Mutex<Option<Result<Vec<Exported>, Error>>>>;

/// An engine with one table, whose middle is damaged, as nobody knows.
fn spoiled(fs: &MemoryFs, copies: bool) -> Engine {
    let (engine, path) = filled_with(fs, options(copies));
    let middle = engine.files(TABLE)[0].bytes() as usize / 2;
    drop(engine);
    fs.damage(&path, |bytes| bytes[middle] ^= 1).unwrap();
    Engine::open(Arc::new(fs.clone()), dir(), options(copies))
        .unwrap()
        .0
}

fn ask(engine: &mut Engine, tokens: TokenRange) -> Outcome {
    let outcome = Outcome::default();
    let told = Arc::clone(&outcome);
    let done = move |result| *told.lock().unwrap() = Some(result);
    let wanted = TokenSet::from(tokens);
    engine
        .export(TABLE, &wanted, &[TokenRange::ALL], "/out".into(), done)
        .unwrap();
    outcome
}

/// Such an engine, and an export of some tokens that has begun.
fn begun(tokens: TokenRange, copies: bool) -> (Engine, Job, Outcome) {
    let mut engine = spoiled(&MemoryFs::new(), copies);
    let outcome = ask(&mut engine, tokens);
    let mut job = engine.next_job(Seconds(1)).unwrap();
    assert!(format!("{job:?}").starts_with("Export"), "{job:?}");
    assert_eq!(job.step().unwrap(), Step::More);
    (engine, job, outcome)
}

fn end(engine: &mut Engine, mut job: Job, outcome: &Outcome) -> Result<Vec<Exported>, Error> {
    while matches!(job.step(), Ok(Step::More)) {}
    engine.finish(job).unwrap();
    look(engine);
    outcome.lock().unwrap().take().expect("it is told")
}

/// A client meets the damage.
fn meet(engine: &mut Engine) -> TokenRange {
    let bad = (0..PARTITIONS).find(|number| engine.read(&one(*number)).is_err());
    assert!(bad > Some(PARTITIONS / 4), "{bad:?}");
    engine.quarantined()[0].tokens
}

#[test]
fn an_export_does_not_step_over_damage_that_others_met() {
    for copies in [true, false] {
        let (mut engine, job, outcome) = begun(partitions(1, PARTITIONS - 2), copies);
        meet(&mut engine);
        let told = end(&mut engine, job, &outcome);
        assert!(matches!(told, Err(Error::Corrupt { .. })), "{copies}: {told:?}");
        assert_eq!(
            engine.quarantined().len(),
            1,
            "no more of it is taken for damaged"
        );
    }
}

#[test]
fn nor_damage_that_is_healed_and_left_behind_meanwhile() {
    for copies in [true, false] {
        let (mut engine, job, outcome) = begun(partitions(1, PARTITIONS - 2), copies);
        let tokens = meet(&mut engine);
        for number in 0..PARTITIONS {
            engine.apply(&write(number)).unwrap();
        }
        engine.log().sync().unwrap();
        assert_eq!(engine.heal(TABLE, tokens), 1);
        engine.flush_all();
        look(&mut engine);
        engine.compact(TABLE);
        look(&mut engine);
        assert!(engine.stats().compactions > 0);
        // What was written anew is newer than the export.
        let told = end(&mut engine, job, &outcome);
        assert!(matches!(told, Err(Error::Corrupt { .. })), "{copies}: {told:?}");
    }
}

#[test]
fn damage_beside_what_is_exported_is_nothing_to_it() {
    for copies in [true, false] {
        let (mut engine, job, outcome) = begun(partitions(1, PARTITIONS / 4), copies);
        let damaged = meet(&mut engine);
        assert!(damaged.start > key(PARTITIONS / 4).token);
        let told = end(&mut engine, job, &outcome);
        assert_eq!(told.unwrap().len(), 1, "{copies}");
    }
}

#[test]
fn what_is_written_anew_while_an_export_waits_belongs_to_it() {
    let fs = MemoryFs::new();
    let mut engine = spoiled(&fs, false);
    engine.apply(&write(1)).unwrap();
    let outcome = ask(&mut engine, partitions(1, PARTITIONS - 2));
    let mut flush = engine.next_job(Seconds(1)).unwrap();
    assert!(format!("{flush:?}").starts_with("Flush"), "{flush:?}");
    let tokens = meet(&mut engine);
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    assert_eq!(engine.heal(TABLE, tokens), 1);
    while flush.step().unwrap() == Step::More {}
    engine.finish(flush).unwrap();
    look(&mut engine);
    let exported = outcome.lock().unwrap().take().expect("it is told").unwrap();
    let other = Options {
        tokens: TokenRange::ALL,
        ..options(false)
    };
    let mut other = Engine::open(Arc::new(fs), "/other".into(), other).unwrap().0;
    let files = exported.into_iter().map(|file| file.path).collect();
    other.ingest(TABLE, files, |done| done.unwrap()).unwrap();
    look(&mut other);
    assert_eq!(contents(&other).len() as i64, PARTITIONS - 2);
}
