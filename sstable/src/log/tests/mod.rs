//! Torn tails are cut; damage is told.

mod earlier;
mod faults;
mod forged;
mod passed;
mod ready;
mod recycling;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use super::{Limits, Log, Lsn, group, recovery, segment};
use crate::{
    Error,
    fs::{Fs, MemoryFs},
};

const DIR: &str = "/log";

const SALT: u64 = 0x5eed;

const LIMITS: Limits = Limits {
    segment_bytes: 200,
    pending_bytes: 1000,
    reserve_bytes: 0,
};

fn files(fs: &MemoryFs) -> Vec<PathBuf> {
    let all = fs.list(Path::new(DIR)).unwrap();
    all.into_iter()
        .filter(|path| segment::file_number(path).is_some())
        .collect()
}

/// The segments that were begun.
fn begun(fs: &MemoryFs) -> Vec<PathBuf> {
    let mut files = files(fs);
    files.retain(|path| !fs.read(path).unwrap().is_empty());
    files
}

type Bodies = Vec<(Lsn, Vec<u8>)>;

fn recover(fs: &MemoryFs, floor: u64) -> Result<(recovery::Recovered, Bodies), Error> {
    let mut bodies = Bodies::new();
    let mut visit = |lsn, body: &[u8], _: &Path, _| {
        bodies.push((lsn, body.to_vec()));
        Ok(())
    };
    let known = recovery::Known {
        floor: Lsn(floor),
        salt: SALT,
    };
    let recovered = recovery::recover(fs, &files(fs), known, &mut visit, &mut |_| ())?;
    Ok((recovered, bodies))
}

/// A log that goes on from what is there.
fn open(fs: &MemoryFs) -> (Log, Bodies) {
    open_at(fs, Lsn(1))
}

fn open_at(fs: &MemoryFs, floor: Lsn) -> (Log, Bodies) {
    open_with(fs, LIMITS, floor)
}

fn open_with(fs: &MemoryFs, limits: Limits, floor: Lsn) -> (Log, Bodies) {
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let next = files(fs)
        .last()
        .and_then(|path| segment::file_number(path))
        .map_or(0, |number| number + 1);
    open_numbered(fs, limits, floor, next)
}

/// The same; `next` is the number of the next segment.
fn open_numbered(fs: &MemoryFs, limits: Limits, floor: Lsn, next: u64) -> (Log, Bodies) {
    let (recovered, bodies) = recover(fs, floor.0).unwrap();
    let last = recovered.end;
    let numbers = Arc::new(AtomicU64::new(next));
    let log = Log::new(
        Arc::new(fs.clone()),
        DIR.into(),
        limits,
        numbers,
        recovered,
        (last, SALT),
    );
    log.sync().unwrap();
    (log, bodies)
}

fn write(log: &Log, bodies: &[&[u8]]) {
    for body in bodies {
        log.append(body).unwrap();
    }
    log.sync().unwrap();
}

fn expected(bodies: &[&[u8]]) -> Bodies {
    (1..)
        .map(Lsn)
        .zip(bodies)
        .map(|(lsn, body)| (lsn, body.to_vec()))
        .collect()
}

#[test]
fn what_was_synced_is_read_back_over_segments_and_restarts() {
    let fs = MemoryFs::new();
    let mut all: Vec<&[u8]> = Vec::new();
    for _ in 0..5 {
        let (log, bodies) = open(&fs);
        assert_eq!(bodies, expected(&all));
        for bodies in [&[b"one".as_slice(), b"two"][..], &[&[9; 150]], &[b"three"]] {
            write(&log, bodies);
            all.extend(bodies);
        }
        assert_eq!(log.synced(), log.appended());
        assert!(log.syncs() >= 3, "and one for what was read and not proven");
    }
    assert!(files(&fs).len() >= 10);
}

/// The last run gave out numbers that the disk never saw; what it left unproven is written anew before the next one.
#[test]
fn numbers_that_a_crash_lost_leave_no_gap_within_a_segment() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"one"]);
    drop(log);
    let (recovered, _) = recover(&fs, 1).unwrap();
    let limits = Limits {
        segment_bytes: 200,
        pending_bytes: 1000,
        reserve_bytes: 0,
    };
    let numbers = Arc::new(AtomicU64::new(100));
    let log = Log::new(
        Arc::new(fs.clone()),
        DIR.into(),
        limits,
        numbers,
        recovered,
        (Lsn(7), SALT),
    );
    for body in [b"two", b"six", b"ten"] {
        write(&log, &[body]);
    }
    let (_, bodies) = recover(&fs, 1).unwrap();
    let numbers: Vec<u64> = bodies.iter().map(|(lsn, _)| lsn.0).collect();
    assert_eq!(numbers, [1, 8, 9, 10]);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    write(&log, &[b"second", b"third"]);
    let path = begun(&fs).pop().unwrap();
    let whole = fs.read(&path).unwrap().len();
    let durable = segment::HEADER_BYTES + group::HEADER_BYTES + 2 + 5;
    for length in 0..whole {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.damage(&path, |bytes| bytes.truncate(length)).unwrap();
        let (log, bodies) = open(&fs);
        let mut kept = bodies;
        assert!(kept.len() >= usize::from(length >= durable));
        write(&log, &[b"later"]);
        kept.push((Lsn(kept.len() as u64 + 1), b"later".to_vec()));
        assert_eq!(open(&fs).1, kept, "cut at {length}");
    }
}

#[test]
fn sectors_lost_out_of_order_in_the_unsynced_tail_are_no_damage() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    write(&log, &[b"second", b"third", b"fourth"]);
    let path = begun(&fs).pop().unwrap();
    // The second write is lost, though the third and fourth of the same sync are there.
    let at = segment::HEADER_BYTES + group::HEADER_BYTES + 2 + 5;
    fs.damage(&path, |bytes| bytes[at..at + 30].fill(0)).unwrap();
    assert_eq!(open(&fs).1, expected(&[b"first"]));
}

#[test]
fn damage_before_a_write_that_knew_it_to_be_synced_is_an_error() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    write(&log, &[b"second"]);
    let path = begun(&fs).pop().unwrap();
    for at in 0..segment::HEADER_BYTES + group::HEADER_BYTES + 2 + 5 {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.damage(&path, |bytes| bytes[at] ^= 1).unwrap();
        let error = recover(&fs, 1).expect_err("the first write is damaged");
        let Error::Corrupt { file, offset, what } = &error else {
            panic!("{error}");
        };
        assert_eq!(file, &path);
        assert!(*offset <= segment::HEADER_BYTES as u64, "{error}");
        assert!(what.contains("durable"), "{error}");
    }
}

#[test]
fn a_segment_that_is_missing_or_lost_its_end_is_an_error() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    for _ in 0..4 {
        write(&log, &[&[1; 200]]);
    }
    let paths = begun(&fs);
    assert_eq!(paths.len(), 4);
    for path in &paths[..3] {
        let missing = fs.after_crash(&mut |_, _| 0);
        missing.remove(path).unwrap();
        assert!(matches!(recover(&missing, 1), Err(Error::Corrupt { .. })));
        let short = fs.after_crash(&mut |_, _| 0);
        short.damage(path, |bytes| bytes.truncate(60)).unwrap();
        assert!(matches!(recover(&short, 1), Err(Error::Corrupt { .. })));
    }
    let released = fs.after_crash(&mut |_, _| 0);
    released.remove(&paths[0]).unwrap();
    released.remove(&paths[1]).unwrap();
    let (_, bodies) = recover(&released, 3).expect("writes 1 and 2 are in tables");
    assert_eq!(bodies.len(), 2);
}

#[test]
fn a_newer_version_is_refused() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"x"]);
    fs.damage(&files(&fs)[0], |bytes| {
        bytes[8] = 9;
        let sum = crate::checksum::checksum(&bytes[..48]);
        bytes[48..56].copy_from_slice(&sum.to_le_bytes());
    })
    .unwrap();
    assert!(matches!(
        recover(&fs, 1),
        Err(Error::Version {
            found: 9,
            known: 4,
            ..
        })
    ));
}

/// Writes to tables that come and go between groups, and bodies that are too short for a table's id.
#[test]
fn ids_of_tables_come_back_in_every_group() {
    let fs = MemoryFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let limits = Limits {
        segment_bytes: 2 << 20,
        pending_bytes: 4 << 20,
        reserve_bytes: 0,
    };
    let (log, _) = open_with(&fs, limits, Lsn(1));
    let body = |n: u64| {
        let length = [0, 3, 15, 16, 17, 300][n as usize % 6];
        let mut body = vec![(n * n % 7) as u8; length];
        body.extend_from_slice(&n.to_be_bytes()[..usize::from(n.is_multiple_of(2)) * 8]);
        body
    };
    for n in 0..6_000 {
        log.append(&body(n)).unwrap();
        if n == 7 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    let whole = log.written_bytes();
    assert!(whole > 300 << 10, "there are groups that are full");
    let (_, bodies) = recover(&fs, 1).unwrap();
    assert_eq!(bodies.len(), 6_000);
    for (n, found) in bodies {
        assert_eq!(found, body(n.0 - 1));
    }
}
