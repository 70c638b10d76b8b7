//! Many exports at a time, of which nobody may want some any more.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
};

use starling_model::{Seconds, TokenRange, TokenSet};

use super::{
    super::export::MAX_BEGUN,
    quarantine::{filled, look},
};
use crate::{
    Engine, Error, ExportOptions, Exported, Job, Step,
    fixtures::TABLE,
    fs::{Fs, MemoryFs},
};

type Told = Receiver<Result<Vec<Exported>, Error>>;

/// Asks for everything to be made anew.
fn ask(engine: &mut Engine, to: &str) -> (Told, Arc<AtomicBool>) {
    let (tell, told) = channel();
    let options = ExportOptions {
        anew: true,
        ..ExportOptions::default()
    };
    let given_up = Arc::clone(&options.given_up);
    let (all, parts) = (TokenSet::from(TokenRange::ALL), [TokenRange::ALL]);
    let done = move |outcome| tell.send(outcome).unwrap();
    engine
        .export_with(TABLE, &all, &parts, to.into(), options, done)
        .unwrap();
    (told, given_up)
}

/// The exports that are offered.
fn offered(engine: &mut Engine) -> Vec<Job> {
    let jobs = std::iter::from_fn(|| engine.next_job(Seconds(1)));
    jobs.inspect(|job| assert!(format!("{job:?}").starts_with("Export"), "{job:?}"))
        .collect()
}

#[test]
fn a_few_are_made_at_a_time_and_the_others_wait_for_their_turn() {
    let (mut engine, _) = filled(&MemoryFs::new());
    let asked: Vec<Told> = (0..MAX_BEGUN + 3)
        .map(|number| ask(&mut engine, &format!("/out/{number}")).0)
        .collect();
    let mut begun = offered(&mut engine);
    assert_eq!(begun.len(), MAX_BEGUN);
    let mut first = begun.remove(0);
    while first.step().unwrap() == Step::More {}
    assert_eq!(offered(&mut engine).len(), 0, "it was not taken back");
    engine.finish(first).unwrap();
    begun.extend(offered(&mut engine));
    assert_eq!(begun.len(), MAX_BEGUN);
    // One that is thrown away takes nobody's turn.
    drop(begun.pop());
    begun.extend(offered(&mut engine));
    assert_eq!(begun.len(), MAX_BEGUN);
    for mut job in begun {
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
    look(&mut engine);
    let made = asked.iter().filter(|told| matches!(told.try_recv(), Ok(Ok(_))));
    assert_eq!(made.count(), asked.len() - 1);
}

#[test]
fn one_that_is_given_up_ends_with_its_next_step_and_leaves_nothing() {
    let fs = MemoryFs::new();
    let (mut engine, _) = filled(&fs);
    let (told, given_up) = ask(&mut engine, "/out");
    let mut job = offered(&mut engine).remove(0);
    while !fs.list(Path::new("/out")).is_ok_and(|files| !files.is_empty()) {
        assert_eq!(job.step().unwrap(), Step::More);
    }
    given_up.store(true, Ordering::Relaxed);
    assert_eq!(job.step().unwrap(), Step::Done);
    engine.finish(job).unwrap();
    let outcome = told.try_recv().unwrap();
    assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    look(&mut engine);
    assert_eq!(
        fs.list(Path::new("/out")).unwrap(),
        Vec::<std::path::PathBuf>::new()
    );
    assert_eq!(engine.room().promised, 0);
}

#[test]
fn one_that_is_given_up_while_it_waits_is_not_begun() {
    let fs = MemoryFs::new();
    let (mut engine, _) = filled(&fs);
    let all: Vec<(Told, Arc<AtomicBool>)> = (0..=MAX_BEGUN).map(|_| ask(&mut engine, "/out")).collect();
    let begun = offered(&mut engine);
    let (told, given_up) = &all[MAX_BEGUN];
    given_up.store(true, Ordering::Relaxed);
    assert_eq!(offered(&mut engine).len(), 0);
    let outcome = told.try_recv().unwrap();
    assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    drop(begun);
}
