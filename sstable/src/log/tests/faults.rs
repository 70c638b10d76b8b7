//! A disk that fails or fills up: what was taken is kept, and writes go on by themselves.

use std::path::Path;

use super::{DIR, begun, expected, open, open_with, write};
use crate::{
    Error, Lsn,
    fs::{Fs, MemoryFs, memory::Faults},
    log::Limits,
};

const FAILING: Faults = Faults {
    capacity: None,
    fail_syncs: true,
};

fn full(fs: &MemoryFs, room: u64) -> Faults {
    Faults {
        capacity: Some(fs.used() + room),
        fail_syncs: false,
    }
}

#[test]
fn after_a_failed_sync_the_writes_go_to_a_new_segment_once_the_disk_works() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    log.append(b"second").unwrap();
    fs.set_faults(FAILING);
    assert!(matches!(log.sync().unwrap_err(), Error::Io { .. }));
    assert!(log.is_refusing());
    assert!(matches!(log.append(b"refused").unwrap_err(), Error::LogFailed(_)));
    assert_eq!(log.synced(), Lsn(1));
    let before = begun(&fs);
    fs.set_faults(Faults::default());
    assert_eq!(log.sync().unwrap(), Lsn(2));
    assert!(!log.is_refusing());
    write(&log, &[b"third"]);
    let after = begun(&fs);
    assert_eq!(
        after.len(),
        before.len() + 1,
        "the old segment is not written to any more"
    );
    let survived = fs.after_crash(&mut |_, _| 0);
    assert_eq!(open(&survived).1, expected(&[b"first", b"second", b"third"]));
}

#[test]
fn what_a_failed_segment_holds_is_not_given_twice() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    log.append(b"second").unwrap();
    fs.set_faults(FAILING);
    log.sync().unwrap_err();
    fs.set_faults(Faults::default());
    log.sync().unwrap();
    // All that was written to the failed segment got to the disk after all.
    let survived = fs.after_crash(&mut |_, unsynced| unsynced);
    assert_eq!(open(&survived).1, expected(&[b"first", b"second"]));
}

#[test]
fn a_restart_believes_nothing_of_a_segment_whose_sync_failed() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    log.append(b"second").unwrap();
    fs.set_faults(FAILING);
    log.sync().unwrap_err();
    drop(log);
    fs.set_faults(Faults::default());
    // The process restarts, the machine does not: what it reads may be in the cache only.
    let (log, bodies) = open(&fs);
    assert_eq!(bodies, expected(&[b"first", b"second"]));
    assert_eq!(log.synced(), Lsn(2));
    let survived = fs.after_crash(&mut |_, _| 0);
    assert_eq!(open(&survived).1, bodies, "it was written anew");
}

#[test]
fn a_disk_that_fills_up_refuses_writes_before_those_that_were_taken_are_stuck() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"0"]);
    fs.set_faults(full(&fs, 0));
    let mut taken = vec![b"0".to_vec()];
    let refused = loop {
        let body = format!("{}", taken.len()).into_bytes();
        match log.append(&body) {
            Ok(_) => taken.push(body),
            Err(error) => break error,
        }
        log.sync().expect("what was taken has room");
        assert!(
            taken.len() < 100,
            "the segment that was set aside is used up at some time"
        );
    };
    assert!(refused.is_full(), "{refused}");
    assert!(taken.len() > 2, "the space that was set aside is used");
    assert_eq!(log.synced(), log.appended());
    log.sync().expect("there is nothing to write");
    log.append(b"still refused").unwrap_err();
    fs.set_faults(Faults::default());
    log.sync().unwrap();
    write(&log, &[b"later"]);
    taken.push(b"later".to_vec());
    let all: Vec<&[u8]> = taken.iter().map(Vec::as_slice).collect();
    assert_eq!(open(&fs.after_crash(&mut |_, _| 0)).1, expected(&all));
}

#[test]
fn several_writes_that_wait_share_the_room_that_is_left() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    fs.set_faults(full(&fs, 200));
    write(&log, &[&[1; 19]]);
    assert!(log.is_refusing());
    // 200 bytes: a header of 56, a group of 28, a write of 21. Room for a group of 28, two writes of at most 20, and
    // the ids that they might need.
    log.append(&[2; 10]).expect("there is room for it");
    log.append(&[3; 10]).expect("and for another");
    log.append(&[4; 10]).expect_err("but not for three");
    log.sync().unwrap();
    log.append(&[5; 10]).expect_err("nor later");
}

#[test]
fn writes_are_refused_while_less_than_the_reserve_is_free() {
    let fs = MemoryFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    fs.set_faults(full(&fs, 5000));
    let limits = Limits {
        segment_bytes: 200,
        pending_bytes: 1000,
        reserve_bytes: 6000,
    };
    let (log, _) = open_with(&fs, limits, Lsn(1));
    let refused = log.append(b"x").unwrap_err();
    assert!(
        matches!(
            refused,
            Error::NoSpace {
                free: 5000,
                reserve: 6000,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains(DIR), "{refused}");
    fs.set_faults(full(&fs, 6200));
    log.sync().unwrap();
    write(&log, &[b"x"]);
    log.append(b"y").expect("exactly the reserve is free");
    fs.set_faults(full(&fs, 5999));
    log.sync().expect("what was taken is written");
    log.append(b"z").expect_err("less than the reserve is free");
    assert_eq!(log.synced(), Lsn(2));
}

#[test]
fn a_failed_log_gathers_no_more_than_its_limit() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    fs.set_faults(FAILING);
    for _ in 0..20 {
        log.append(&[1; 100]).ok();
        log.sync().unwrap_err();
    }
    assert_eq!(log.appended(), Lsn(2));
    let used = fs.used();
    log.sync().unwrap_err();
    assert_eq!(
        fs.used(),
        used,
        "segments that fail from the beginning are not kept"
    );
}
