//! Damage of which a part is healed, and what can be read past the rest.

use std::{path::Path, sync::Arc};

use starling_model::{Seconds, Token, TokenRange};

use super::quarantine::{PARTITIONS, filled, filled_with, key, look, one, options, reopen, survey, write};
use crate::{
    Engine, Error, Extent, Options,
    fixtures::{Content, TABLE, content_of, contents, dir, everything},
    fs::{Fs, MemoryFs},
    read::Never,
};

/// Opens an engine after something at so many bytes from a file's start was spoilt.
fn open_spoilt(fs: &MemoryFs, path: &Path, at: usize) -> Engine {
    fs.damage(path, |bytes| bytes[at] ^= 1).unwrap();
    Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0
}

/// Writes anew, and heals, what lies after one token up to another.
fn heal(engine: &mut Engine, start: Token, end: Token) -> usize {
    let tokens = TokenRange { start, end };
    for number in (0..PARTITIONS).filter(|number| tokens.contains(key(*number).token)) {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.heal(TABLE, tokens)
}

/// All that can be read past what is damaged.
fn rest(engine: &Engine) -> Content {
    let page = engine
        .read_extent(&everything(), Extent::Rest, &mut Never)
        .unwrap()
        .page;
    content_of(page.decode().unwrap())
}

#[test]
fn a_part_is_healed_for_good_and_the_rest_waits() {
    let fs = MemoryFs::new();
    // A block holds several partitions.
    let coarse = Options {
        block_bytes: 512,
        ..options()
    };
    let (engine, path) = filled_with(&fs, coarse);
    let whole = contents(&engine);
    drop(engine);
    let middle = fs.read(&path).unwrap().len() / 2;
    let mut engine = open_spoilt(&fs, &path, middle);
    assert!(engine.read(&everything()).is_err());
    look(&mut engine);
    let found = engine.quarantined().remove(0).tokens;
    let bad = survey(&engine).1;
    assert!(bad.len() > 2, "{bad:?}");
    // Not at its edges: so a part stays before, and one behind.
    let inner = &bad[1..bad.len() - 1];
    let (start, end) = (key(bad[0]).token, key(inner[inner.len() - 1]).token);
    assert_eq!(heal(&mut engine, start, end), 1);
    let ends = [bad[0], bad[bad.len() - 1]];
    assert_eq!(survey(&engine).1, ends);
    let quarantined = |engine: &mut Engine| -> Vec<TokenRange> {
        let pieces = engine.quarantined().into_iter();
        pieces.map(|piece| piece.tokens).collect()
    };
    let left = [
        TokenRange {
            start: found.start,
            end: start,
        },
        TokenRange {
            start: end,
            end: found.end,
        },
    ];
    assert_eq!(quarantined(&mut engine), left);
    // A restart knows.
    look(&mut engine);
    let mut engine = reopen(&fs, engine);
    assert_eq!(quarantined(&mut engine), left);
    assert_eq!(survey(&engine).1, ends);
    for part in left {
        assert_eq!(heal(&mut engine, part.start, part.end), 1);
    }
    assert_eq!(engine.quarantined(), []);
    assert!(contents(&engine) == whole);
    engine.flush_all();
    look(&mut engine);
    engine.compact(TABLE);
    look(&mut engine);
    assert!(
        engine.stats().compactions > 0,
        "nothing keeps it from being compacted"
    );
    assert!(contents(&engine) == whole);
}

#[test]
fn parts_of_a_table_that_cannot_be_opened_stay_healed_over_a_restart() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    drop(engine);
    let footer = fs.read(&path).unwrap().len() - 20;
    let mut engine = open_spoilt(&fs, &path, footer);
    assert_eq!(heal(&mut engine, Token::MIN, Token(0)), 1);
    look(&mut engine);
    drop(engine);
    let fs = fs.after_crash(&mut |_, _| 0);
    let mut engine = Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0;
    let left = engine.quarantined();
    assert_eq!((left.len(), left[0].tokens.start), (1, Token(0)));
    assert!(survey(&engine).0.contains(&0));
    assert_eq!(heal(&mut engine, Token(0), Token::MAX), 1);
    look(&mut engine);
    assert!(!fs.exists(&path).unwrap(), "nothing of the file is needed");
    let engine = reopen(&fs, engine);
    assert!(contents(&engine) == whole);
}

#[test]
fn what_is_left_can_be_read_past_the_damage() {
    let fs = MemoryFs::new();
    let (engine, path) = filled(&fs);
    let whole = contents(&engine);
    assert!(rest(&engine) == whole, "nothing is damaged");
    drop(engine);
    let middle = fs.read(&path).unwrap().len() / 2;
    let mut engine = open_spoilt(&fs, &path, middle);
    let error = engine.read_extent(&everything(), Extent::Rest, &mut Never);
    assert!(error.is_err(), "new damage is told, and never passed");
    look(&mut engine);
    let bad = survey(&engine).1;
    let expected = |with: Option<i64>| -> Content {
        let mut content = whole.clone();
        for number in bad.iter().filter(|number| Some(**number) != with) {
            content.remove(&key(*number));
        }
        content
    };
    assert!(rest(&engine) == expected(None));
    // What was written besides is there, though reads are refused.
    engine.apply(&write(bad[0])).unwrap();
    assert!(rest(&engine) == expected(Some(bad[0])));
    assert_eq!(survey(&engine).1, bad);
    assert_eq!(engine.quarantined()[0].since, Seconds(77));
}

/// A bad stretch of a disk is many blocks: the others of the file are as good as before.
#[test]
fn what_lies_between_many_damaged_blocks_stays_readable() {
    const ROWS: i64 = 1_000;
    let fs = MemoryFs::new();
    let mut engine = Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0;
    for number in 0..ROWS {
        engine.apply(&write(number)).unwrap();
    }
    engine.log().sync().unwrap();
    engine.flush_all();
    look(&mut engine);
    let whole = contents(&engine);
    let path = engine.files(TABLE).remove(0).path().to_path_buf();
    drop(engine);
    let spoil = |bytes: &mut [u8]| {
        let half = bytes.len() / 2;
        bytes[..half]
            .iter_mut()
            .step_by(400)
            .skip(1)
            .for_each(|byte| *byte ^= 1);
    };
    fs.damage(&path, |bytes| spoil(bytes)).unwrap();
    let mut engine = Engine::open(Arc::new(fs.clone()), dir(), options()).unwrap().0;
    for number in 0..ROWS {
        let _ = engine.read(&one(number));
        look(&mut engine);
    }
    let bad: Vec<i64> = (0..ROWS)
        .filter(|number| engine.read(&one(*number)).is_err())
        .collect();
    let pieces = engine.quarantined().len();
    assert!(pieces > 64, "{pieces}");
    assert!((bad.len() as i64) < ROWS / 2, "{}", bad.len());
    // What it meets besides, if anything, it passes once that is known.
    let read = loop {
        match engine.read_extent(&everything(), Extent::Rest, &mut Never) {
            Ok(read) => break read,
            Err(Error::Corrupt { .. }) => look(&mut engine),
            Err(error) => panic!("{error}"),
        }
    };
    let mut expected = whole.clone();
    for number in &bad {
        expected.remove(&key(*number));
    }
    assert!(content_of(read.page.decode().unwrap()) == expected);
    assert_eq!(engine.heal(TABLE, TokenRange::ALL), pieces);
    assert!(
        contents(&engine) == expected,
        "a hole is no larger than what was bad"
    );
}
