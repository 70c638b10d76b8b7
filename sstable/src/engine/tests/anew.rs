//! Exports that whoever got them found damaged.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use starling_model::{Seconds, Token, TokenRange, TokenSet};

use super::quarantine::{PARTITIONS, filled, options, write};
use crate::{
    Engine, Error, ExportOptions, Exported, Job, Options, Step,
    engine::quarantine::MAX_REPORTS,
    fixtures::{TABLE, contents, dir, settle},
    fs::{Fs, MemoryFs},
    table::Scrub,
};

type Outcome<T> = Arc<Mutex<Option<Result<T, Error>>>>;

fn outcome<T: Send + 'static>() -> (Outcome<T>, impl FnOnce(Result<T, Error>) + Send + 'static) {
    let outcome: Outcome<T> = Arc::default();
    let told = Arc::clone(&outcome);
    (outcome, move |result| *told.lock().unwrap() = Some(result))
}

/// Runs jobs, and gives those up that fail, until an outcome is told.
fn work<T>(engine: &mut Engine, outcome: &Outcome<T>) -> Result<T, Error> {
    loop {
        if let Some(told) = outcome.lock().unwrap().take() {
            return told;
        }
        let Some(mut job) = engine.next_job(Seconds(1)) else {
            return outcome.lock().unwrap().take().expect("it is told by now");
        };
        while matches!(job.step(), Ok(Step::More)) {}
        engine.finish(job).unwrap();
    }
}

fn anew() -> ExportOptions {
    ExportOptions {
        anew: true,
        ..ExportOptions::default()
    }
}

fn export(engine: &mut Engine, anew: bool) -> Result<Vec<Exported>, Error> {
    let (told, done) = outcome();
    let (all, parts, to) = (TokenSet::from(TokenRange::ALL), [TokenRange::ALL], "/out".into());
    let options = if anew {
        self::anew()
    } else {
        ExportOptions::default()
    };
    engine
        .export_with(TABLE, &all, &parts, to, options, done)
        .unwrap();
    work(engine, &told)
}

/// Takes what was exported in elsewhere.
fn ingest(fs: &MemoryFs, name: &str, files: &[Exported]) -> Result<Engine, Error> {
    let all = Options {
        tokens: TokenRange::ALL,
        ..options()
    };
    let dir = Path::new("/").join(name);
    let (mut other, _) = Engine::open(Arc::new(fs.clone()), dir, all).unwrap();
    let (told, done) = outcome();
    let files = files.iter().map(|file| file.path.clone()).collect();
    other.ingest(TABLE, files, done).unwrap();
    work(&mut other, &told).map(|()| other)
}

fn reopen(fs: &MemoryFs) -> Engine {
    Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0
}

#[test]
fn what_no_reader_needs_is_left_behind_and_costs_no_reads() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    // Zeros lie between the data blocks and what begins at a multiple of 64.
    let padding = engine.files(TABLE)[0].stripe_handle(0).offset as usize - 1;
    drop(engine);
    fs.damage(&path, |bytes| {
        assert_eq!(bytes[padding], 0);
        bytes[padding] = 1;
    })
    .unwrap();
    let mut engine = reopen(&fs);
    let linked = export(&mut engine, false).expect("it is not read");
    let refused = ingest(&fs, "first", &linked).map(drop);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    let anew = export(&mut engine, true).expect("all can be read");
    let other = ingest(&fs, "second", &anew).expect("it is whole");
    assert!(contents(&other) == whole);
    assert_eq!(engine.quarantined(), []);
    assert!(contents(&engine) == whole);
}

#[test]
fn what_is_damaged_is_found_and_quarantined_and_not_linked_again() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    drop(engine);
    // Two blocks.
    fs.damage(&path, |bytes| {
        for at in [bytes.len() / 4, bytes.len() / 2] {
            bytes[at] ^= 1;
        }
    })
    .unwrap();
    let mut engine = reopen(&fs);
    let linked = export(&mut engine, false).expect("it is not read");
    let refused = ingest(&fs, "first", &linked).map(drop);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    let refused = export(&mut engine, true);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert_eq!(engine.quarantined().len(), 2, "not only the first one");
    for anew in [false, true] {
        let refused = export(&mut engine, anew);
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    }
    for number in 0..PARTITIONS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.heal(TABLE, TokenRange::ALL);
    for (name, anew) in [("second", false), ("third", true)] {
        let healed = export(&mut engine, anew).expect("what was damaged is healed");
        let other = ingest(&fs, name, &healed).expect("it is whole");
        assert!(contents(&other) == whole);
    }
}

/// Asks for some tokens anew, which has begun.
fn begun(engine: &mut Engine, tokens: TokenRange) -> (Job, Outcome<Vec<Exported>>) {
    let (told, done) = outcome();
    let (tokens, to) = (TokenSet::from(tokens), "/out".into());
    engine
        .export_with(TABLE, &tokens, &[TokenRange::ALL], to, anew(), done)
        .unwrap();
    let job = engine.next_job(Seconds(1)).expect("it is offered");
    assert!(format!("{job:?}").starts_with("Export"), "{job:?}");
    (job, told)
}

#[test]
fn what_is_damaged_beside_what_is_wanted_is_not_looked_at() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    let file = engine.files(TABLE).remove(0);
    let at = [file.bytes() / 4, file.bytes() / 2].map(|at| at as usize);
    let bad = at.map(|at| file.tokens_at(at as u64));
    drop((file, engine));
    fs.damage(&path, |bytes| at.iter().for_each(|at| bytes[*at] ^= 1))
        .unwrap();
    let mut engine = reopen(&fs);
    // Who reads tokens may look into the block behind.
    let beside = |damage: &[(Token, Token)]| {
        let ranges = damage.iter().map(|(from, to)| TokenRange {
            start: Token(from.0 - 5_000),
            end: Token(to.0 + 5_000),
        });
        ranges.collect::<TokenSet>().complement()
    };
    let mut made_of = |tokens: &TokenSet| {
        let (told, done) = outcome();
        let to = "/out".into();
        engine
            .export_with(TABLE, tokens, &[TokenRange::ALL], to, anew(), done)
            .unwrap();
        (work(&mut engine, &told), engine.quarantined().len())
    };
    let (made, known) = made_of(&beside(&bad));
    assert_eq!(known, 0, "nobody asked for these");
    let other = ingest(&fs, "first", &made.expect("what is wanted is whole")).unwrap();
    let mut wanted = whole;
    wanted.retain(|key, _| beside(&bad).contains(key.token));
    assert!(wanted.len() as i64 > PARTITIONS / 2);
    assert!(contents(&other) == wanted);
    let (refused, known) = made_of(&beside(&bad[..1]));
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert_eq!(known, 1, "the one that was asked for");
}

#[test]
fn it_keeps_no_file_from_being_removed() {
    let fs = MemoryFs::new();
    let (mut engine, path) = filled(&fs);
    let whole = contents(&engine);
    engine.apply(&write(1)).unwrap();
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(&mut engine, Seconds(1));
    let (mut job, told) = begun(&mut engine, TokenRange::ALL);
    assert_eq!(job.step().unwrap(), Step::More);
    engine.compact(TABLE);
    settle(&mut engine, Seconds(1));
    assert!(!fs.exists(&path).unwrap(), "it was merged");
    while job.step().unwrap() == Step::More {}
    engine.finish(job).unwrap();
    let made = told.lock().unwrap().take().expect("it is told").unwrap();
    let other = ingest(&fs, "other", &made).expect("it is whole");
    assert!(contents(&other) == whole);
}

#[test]
fn it_looks_for_no_more_damage_than_is_kept() {
    let fs = MemoryFs::new();
    let mut engine = reopen(&fs);
    for half in [0..PARTITIONS / 2, PARTITIONS / 2..PARTITIONS] {
        for number in half {
            engine.apply(&write(number)).unwrap();
        }
        engine.log().sync().unwrap();
        engine.flush_all();
        settle(&mut engine, Seconds(1));
    }
    let paths: Vec<_> = engine
        .files(TABLE)
        .iter()
        .map(|file| file.path().to_path_buf())
        .collect();
    assert_eq!(paths.len(), 2);
    drop(engine);
    for path in paths {
        // Of each block something.
        fs.damage(&path, |bytes| {
            let data = 256..bytes.len() * 3 / 4;
            bytes[data].iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
        })
        .unwrap();
    }
    let mut engine = reopen(&fs);
    let mut steps = 0;
    for file in engine.files(TABLE) {
        let (mut check, mut found) = (Scrub::new(&file, TokenRange::ALL).unwrap(), Vec::new());
        while check.step(&mut found) {
            steps += 1;
        }
        assert!(found.len() > MAX_REPORTS, "{}", found.len());
    }
    let (mut job, told) = begun(&mut engine, TokenRange::ALL);
    let mut taken = 0;
    while matches!(job.step(), Ok(Step::More)) {
        taken += 1;
    }
    assert!(taken < steps, "{taken} steps of {steps}");
    engine.finish(job).unwrap();
    let refused = told.lock().unwrap().take().expect("it is told");
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert!(!engine.quarantined().is_empty());
}
