//! Damage that no reader met is found all the same, in time.

use std::sync::Arc;

use starling_model::Seconds;

use super::quarantine::{filled, options};
use crate::{
    Engine, Options,
    fixtures::{TABLE, dir, settle},
    fs::{Fs, MemoryFs},
};

const PERIOD: u32 = 500;

fn open(fs: &MemoryFs, now: u32) -> Engine {
    let options = Options {
        scrub_seconds: PERIOD,
        ..options()
    };
    let mut engine = Engine::open(Arc::new(fs.clone()), dir(), options).unwrap().0;
    settle(&mut engine, Seconds(now));
    engine
}

/// Lets time go on, with a look for work every so many seconds.
fn wait(engine: &mut Engine, from: u32, seconds: u32, step: u32) {
    for second in (from..=from + seconds).step_by(step as usize) {
        settle(engine, Seconds(second));
    }
}

#[test]
fn all_of_a_table_is_read_once_a_period() {
    for step in [1, 7, 100] {
        let fs = MemoryFs::new();
        drop(filled(&fs));
        let mut engine = open(&fs, 1_000);
        assert_eq!(
            engine.stats().scrubbed_bytes,
            0,
            "it begins where the clock stands"
        );
        wait(&mut engine, 1_000, PERIOD + step, step);
        let (read, bytes) = (engine.stats().scrubbed_bytes, engine.stats().table_bytes);
        // All but the frame; blocks at the ends of slices are read for both.
        assert!(read > bytes / 2, "{read} of {bytes} bytes");
        let once = read;
        wait(&mut engine, 1_000 + PERIOD + step, PERIOD, step);
        let twice = engine.stats().scrubbed_bytes;
        assert!(
            twice >= once + once / 2 && twice <= once * 5 / 2,
            "{once}, {twice}"
        );
    }
}

#[test]
fn damage_that_nobody_met_is_quarantined() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    drop(engine);
    let length = fs.read(&path).unwrap().len();
    for at in (0..length).step_by(length / 30) {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.damage(&path, |bytes| bytes[at] ^= 0x10).unwrap();
        let mut engine = open(&fs, 1_000);
        wait(&mut engine, 1_000, PERIOD + 3, 3);
        let found = engine.quarantined();
        assert_eq!(found.len(), 1, "damage at {at} of {length}");
        assert_eq!((found[0].table, &found[0].file), (TABLE, &path));
    }
}

#[test]
fn a_clock_that_jumps_is_followed() {
    let fs = MemoryFs::new();
    drop(filled(&fs));
    let mut engine = open(&fs, 1_000_000);
    wait(&mut engine, 10, 2 * PERIOD, 5);
    let read = engine.stats().scrubbed_bytes;
    assert!(read > 0);
    // However far it jumps, no more is read than there is.
    settle(&mut engine, Seconds(4_000_000_000));
    settle(&mut engine, Seconds(4_000_000_000));
    let more = engine.stats().scrubbed_bytes - read;
    assert!(more <= 2 * engine.stats().table_bytes, "{more}");
}
