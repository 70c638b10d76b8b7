//! The file for the next segment is made beside the syncs.

use std::{sync::mpsc, thread, time::Duration};

use super::{super::lock, expected, files, open, recover, write};
use crate::fs::{MemoryFs, memory::Faults};

#[test]
fn a_file_that_was_made_in_time_is_all_that_a_sync_needs() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    assert!(!log.wants_file(), "nothing was written yet");
    write(&log, &[b"1"]);
    assert!(log.wants_file(), "a quarter is used");
    assert_eq!(files(&fs).len(), 1, "and no more than half: nobody has made one");
    log.prepare().unwrap();
    assert!(!log.wants_file());
    let ready = files(&fs);
    assert_eq!(ready.len(), 2);
    write(&log, &[&[2; 70]]);
    assert!(!log.wants_file());
    assert_eq!(files(&fs), ready, "more than half is used, and one is there");
    write(&log, &[&[3; 10]]);
    assert_eq!(files(&fs), ready, "it is the second segment");
    let survived = fs.after_crash(&mut |_, _| 0);
    let bodies: [&[u8]; 3] = [b"1", &[2; 70], &[3; 10]];
    assert_eq!(recover(&survived, 1).unwrap().1, expected(&bodies));
    log.prepare().unwrap();
    log.prepare().unwrap();
    assert_eq!(files(&fs).len(), 3, "one is made at a time");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a job's thread and a writer's")]
fn syncs_go_on_while_a_file_is_made() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"1"]);
    let (synced, wait) = mpsc::channel();
    thread::scope(|scope| {
        // As a job holds it that waits for the directory.
        let making = lock(&log.files.ready);
        scope.spawn(|| {
            write(&log, &[&[2; 20]]);
            synced.send(log.is_refusing()).unwrap();
        });
        let outcome = wait.recv_timeout(Duration::from_secs(20));
        drop(making);
        assert_eq!(
            outcome,
            Ok(false),
            "more than half is used, and it waits for nobody"
        );
    });
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a job's thread and a writer's")]
fn a_sync_waits_for_the_file_that_is_made_once_little_room_is_left() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"1"]);
    fs.set_faults(Faults {
        capacity: Some(fs.used()),
        fail_syncs: false,
    });
    let (synced, wait) = mpsc::channel();
    thread::scope(|scope| {
        // As a job holds it that is about to find the disk full.
        let making = lock(&log.files.ready);
        scope.spawn(|| {
            write(&log, &[&[2; 70]]);
            synced.send(log.is_refusing()).unwrap();
        });
        let early = wait.recv_timeout(Duration::from_millis(200));
        drop(making);
        let refuses = early.or_else(|_| wait.recv_timeout(Duration::from_secs(20)));
        assert_eq!(
            refuses,
            Ok(true),
            "more than three quarters are used, and there is no other segment"
        );
    });
}

#[test]
fn a_file_that_could_not_be_made_is_made_by_a_sync_or_writes_are_refused() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"1"]);
    fs.set_faults(Faults {
        capacity: Some(fs.used()),
        fail_syncs: false,
    });
    log.prepare().unwrap_err();
    assert!(log.wants_file(), "it is to be tried again");
    assert!(!log.is_refusing(), "there is room for the time being");
    write(&log, &[&[2; 30]]);
    assert!(log.is_refusing());
    fs.set_faults(Faults::default());
    log.sync().unwrap();
    assert!(!log.is_refusing());
    assert_eq!(files(&fs).len(), 2);
}
