//! Every disk that a crash may leave is opened: all that was durable is there, and nothing that was never written.
//!
//! A run is recorded, operation by operation. After each of them the power fails: of what was not synced anything may
//! be there or not, in any combination: pieces of writes, creations, renames, removals. All combinations are tried
//! where they are few, and many by chance where they are not. Recoveries crash too.

mod image;
mod recorder;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use starling_model::{Mutation, Seconds};

use self::{
    image::{Image, Random, State},
    recorder::{Operation, Recorder},
};
use crate::{
    Engine, Options,
    fixtures::{Content, contents, dir, insert, key, merge_into, settle, small_options},
    log::segment,
};

fn options() -> Options {
    Options {
        memtable_bytes: 1 << 10,
        ..small_options()
    }
}

fn writes() -> Vec<Mutation> {
    (0..40_u8)
        .map(|n| {
            let value = vec![n; 10 + usize::from(n) * 37 % 300];
            insert(key(n % 5), &[n % 7], i64::from(n), &value)
        })
        .collect()
}

/// Writes all there is, with a sync after every few, and flushes and compactions on the way.
fn run(fs: &Recorder, writes: &[Mutation]) {
    let (mut engine, _) = Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap();
    for (n, write) in writes.iter().enumerate() {
        engine.apply(write).unwrap();
        fs.note(Operation::Tried(n + 1));
        if n % 3 != 0 {
            engine.log().sync().unwrap();
            fs.note(Operation::Durable(n + 1));
        }
        if n % 6 == 5 {
            settle(&mut engine, Seconds(1));
        }
    }
}

fn merged(writes: &[Mutation]) -> Content {
    let mut content = Content::new();
    for write in writes {
        merge_into(&mut content, write);
    }
    content
}

/// Fails unless `less` adds nothing to `more`.
fn contained(less: &Content, more: &Content, what: &str) {
    for (key, partition) in less {
        let mut both = more.get(key).cloned().unwrap_or_default();
        both.merge(partition.clone());
        assert_eq!(Some(&both), more.get(key), "{what}");
    }
}

/// Fails if two names of the log lead to one file: its next use under one of them would overwrite what the other one holds.
fn one_name_each(image: &Image, at: usize) {
    let log = |path: &Path| segment::file_number(path).is_some() || segment::is_free(path);
    let mut files = BTreeMap::new();
    for (path, file) in image.names.iter().filter(|(path, _)| log(path)) {
        if let Some(other) = files.insert(file, path) {
            panic!("after operation {at}: {} is {}", path.display(), other.display());
        }
    }
}

/// Opens what a crash left; gives it on for a crash of the recovery.
fn check(image: &Image, durable: &Content, tried: &Content, at: usize) -> Recorder {
    one_name_each(image, at);
    let fs = Recorder::over(image);
    let (engine, _) = Engine::open(Arc::new(fs.clone()), dir(), options())
        .unwrap_or_else(|error| panic!("after operation {at}: {error}\n{:?}", image.names));
    let found = contents(&engine);
    contained(durable, &found, &format!("lost by a crash after operation {at}"));
    contained(&found, tried, &format!("made up by a crash after operation {at}"));
    fs
}

#[test]
fn every_disk_that_a_crash_may_leave_has_what_was_durable() {
    let writes = writes();
    let recorder = Recorder::over(&Image::default());
    run(&recorder, &writes);
    let mut random = Random(0x5eed);
    let mut state = State::new(Image::default());
    let (mut tried, mut durable) = (0, 0);
    let (mut images, mut again) = (0, 0);
    for (at, operation) in recorder.operations().iter().enumerate() {
        state.operate(operation);
        match operation {
            Operation::Tried(count) => tried = *count,
            Operation::Durable(count) => durable = *count,
            _ => {}
        }
        let (durable, tried) = (merged(&writes[..durable]), merged(&writes[..tried]));
        for image in state.images(&mut random) {
            let recovery = check(&image, &durable, &tried, at);
            images += 1;
            if images % 50 == 0 {
                again += crash_again(&image, &recovery, &durable, &tried, &mut random);
            }
        }
    }
    assert!(images > 1000, "{images} images");
    assert!(again > 100, "{again} images of recoveries");
}

/// Crashes a recovery after each of its operations; how many images that gave.
fn crash_again(
    image: &Image,
    recovery: &Recorder,
    durable: &Content,
    tried: &Content,
    random: &mut Random,
) -> usize {
    let mut state = State::new(image.clone());
    let mut count = 0;
    for (at, operation) in recovery.operations().iter().enumerate() {
        state.operate(operation);
        for image in state.images(random) {
            check(&image, durable, tried, at);
            count += 1;
        }
    }
    count
}
