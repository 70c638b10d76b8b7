//! The conformance suite of every file system, and what a crash may and may not do.

use std::collections::BTreeSet;

use starling_sstable::fs::conformance;

use super::*;

fn disk(seed: u64) -> Disk {
    Disk::new(Random::new(seed))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

/// A file whose content and name are durable.
fn durable(disk: &Disk, name: &str, content: &[u8]) -> Box<dyn WriteFile> {
    let mut file = disk.create(&path(name)).expect("created");
    file.append(content).expect("appended");
    file.sync().expect("synced");
    disk.sync_dir(&path("")).expect("synced");
    file
}

#[test]
fn conforms() {
    let disk = disk(1);
    let dir = path("data/dir");
    disk.create_dir_all(&dir).expect("made");
    conformance::check(&disk, &dir);
}

#[test]
fn synced_bytes_under_synced_names_last() {
    for seed in 0..50 {
        let disk = disk(seed);
        let mut file = durable(&disk, "a", b"durable");
        file.append(b"volatile").expect("appended");
        disk.crash();
        let content = disk.read(&path("a")).expect("there");
        assert!(content.starts_with(b"durable"), "seed {seed}: {content:?}");
        assert!(content.len() <= b"durablevolatile".len());
        assert!(file.append(b"more").is_err(), "handles die with the crash");
        let again = disk.read(&path("a")).expect("there");
        disk.crash();
        assert_eq!(
            disk.read(&path("a")).expect("there"),
            again,
            "what a crash left is durable"
        );
    }
}

#[test]
fn a_killed_process_loses_nothing_and_makes_nothing_durable() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let disk = disk(seed);
        let mut file = durable(&disk, "a", b"1");
        file.append(b"2").expect("appended");
        drop(disk.create(&path("b")).expect("created"));
        disk.kill();
        assert!(file.append(b"3").is_err(), "handles die with the process");
        assert_eq!(disk.read(&path("a")).expect("there"), b"12"[..]);
        assert!(disk.exists(&path("b")).expect("asked"));
        if seed % 2 == 0 {
            disk.sync_file(&path("a")).expect("synced");
            disk.crash();
            assert_eq!(disk.read(&path("a")).expect("there"), b"12"[..]);
        } else {
            disk.crash();
            outcomes.insert(disk.read(&path("a")).expect("there").to_vec());
        }
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[test]
fn unsynced_appends_end_in_every_way() {
    let mut ends = BTreeSet::new();
    for seed in 0..300 {
        let disk = disk(seed);
        let mut file = durable(&disk, "a", b"");
        file.append(b"11").expect("appended");
        file.append(b"22").expect("appended");
        disk.crash();
        ends.insert(disk.read(&path("a")).expect("there").to_vec());
    }
    for end in [
        &b""[..],
        b"1",
        b"11",
        b"112",
        b"1122",
        b"\0\x0022",
        b"1\x0022",
        b"\0\x002",
    ] {
        assert!(ends.contains(end), "{end:?} never came about: {ends:?}");
    }
}

#[test]
fn unsynced_names_are_kept_or_undone() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let disk = disk(seed);
        drop(durable(&disk, "old", b"old"));
        let mut new = disk.create(&path("new")).expect("created");
        new.append(b"new").expect("appended");
        new.sync().expect("synced");
        disk.rename(&path("new"), &path("old")).expect("renamed");
        disk.crash();
        let old = disk.read(&path("old")).expect("a rename replaces atomically");
        let new = disk.read(&path("new")).ok();
        assert!(old == b"old"[..] || old == b"new"[..], "seed {seed}: {old:?}");
        outcomes.insert((old.to_vec(), new.is_some()));
    }
    // All undone, the rename undone, all kept (or the creation undone before the rename).
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
}

#[test]
fn an_undone_removal_brings_the_file_back() {
    let mut back = BTreeSet::new();
    for seed in 0..50 {
        let disk = disk(seed);
        drop(durable(&disk, "a", b"content"));
        disk.remove(&path("a")).expect("removed");
        disk.crash();
        let found = disk.read(&path("a")).ok();
        assert!(found.as_ref().is_none_or(|bytes| *bytes == b"content"[..]));
        back.insert(found.is_some());
    }
    assert_eq!(back.len(), 2);
}

#[test]
fn a_full_disk_says_so_and_keeps_what_it_has() {
    let disk = disk(1);
    drop(durable(&disk, "a", b"12345"));
    disk.set_capacity(Some(8));
    let mut file = disk.create(&path("b")).expect("created");
    let error = file.append(b"12345").expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.used(), 8);
    disk.remove(&path("a")).expect("removed");
    file.append(b"12345").expect("there is room again");
    assert_eq!(disk.read(&path("b")).expect("there"), b"12312345"[..]);
}

#[test]
fn a_failed_sync_is_final_for_its_file() {
    let disk = disk(1);
    let mut file = durable(&disk, "a", b"kept");
    file.append(b"lost").expect("appended");
    disk.fail_syncs(1);
    assert!(file.sync().is_err());
    assert!(file.sync().is_err(), "a second sync must not be believed");
    assert!(file.append(b"x").is_err());
    disk.crash();
    assert!(disk.read(&path("a")).expect("there").starts_with(b"kept"));
}

#[test]
fn rot_flips_bits() {
    let disk = disk(1);
    drop(durable(&disk, "a", b"abc"));
    let before = disk.map(&path("a")).expect("there");
    disk.corrupt(&path("a"), 1, 0x20).expect("there");
    assert_eq!(disk.read(&path("a")).expect("there"), b"aBc"[..]);
    assert_eq!(before[..], b"abc"[..], "what is mapped was read already");
    assert!(disk.corrupt(&path("a"), 9, 1).is_err());
    assert!(disk.corrupt(&path("b"), 0, 1).is_err());
}

#[test]
fn only_what_may_rot_does_and_is_known_until_it_is_forgotten() {
    let disk = disk(1);
    // No node could open it: all that it was made for rots with any of its bits.
    drop(durable(&disk, "1.table", b"abcdefgh"));
    let content = || disk.read(&path("1.table")).expect("there");
    let mut random = Random::new(7);
    assert!(!disk.rot_table(&mut random, |tokens| tokens != TokenRange::ALL));
    assert!(content() == b"abcdefgh"[..] && !disk.has_rotted() && disk.rotted().is_empty());
    assert!(disk.rot_table(&mut random, |tokens| tokens == TokenRange::ALL));
    assert!(content() != b"abcdefgh"[..] && disk.has_rotted());
    disk.mend();
    assert_eq!(content(), b"abcdefgh"[..]);
    assert!(
        disk.rotted().covers(TokenRange::ALL),
        "the node may know it as damaged still"
    );
    disk.forget_rot();
    assert!(disk.rotted().is_empty() && !disk.has_rotted());
}

#[test]
fn the_fuse_ends_everything_in_the_middle() {
    let disk = disk(1);
    let mut file = durable(&disk, "a", b"kept");
    let died = Arc::new(Mutex::new(false));
    let seen = died.clone();
    disk.crash_after(1, Box::new(move || *seen.lock() = true));
    file.append(b"1").expect("one change is left");
    assert!(file.append(b"2").is_err());
    assert!(*died.lock());
    assert!(disk.read(&path("a")).is_err() && disk.create(&path("b")).is_err());
    disk.crash();
    assert!(disk.read(&path("a")).expect("there").starts_with(b"kept"));
}

#[test]
fn removed_files_are_forgotten() {
    let disk = disk(1);
    for _ in 0..100 {
        let mut file = durable(&disk, "a", b"x");
        disk.remove(&path("a")).expect("removed");
        file.append(b"nobody reads this")
            .expect("an open file can be written");
        disk.sync_dir(&path("")).expect("synced");
    }
    assert_eq!(disk.state.lock().files.len(), 0);
}
