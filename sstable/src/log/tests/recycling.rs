//! Files that are used again.

use std::collections::BTreeSet;

use super::{Bodies, DIR, LIMITS, begun, expected, files, open, open_numbered, recover, write};
use crate::{
    Lsn,
    fs::{Fs, MemoryFs, memory::Faults},
    log::{group, segment},
};
use std::path::Path;

fn names(fs: &MemoryFs) -> BTreeSet<String> {
    let all = fs.list(Path::new(DIR)).unwrap();
    all.iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_released_segment_becomes_a_new_one() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    for _ in 0..6 {
        write(&log, &[&[7; 150]]);
    }
    let space = fs.used();
    for round in 0..20_u64 {
        log.release(log.synced()).unwrap();
        write(&log, &[&[7; 150]]);
        assert!(fs.used() <= space, "round {round} needs new space");
    }
    let free = names(&fs)
        .iter()
        .filter(|name| segment::is_free(Path::new(name)))
        .count();
    assert!(free <= 3, "{:?}", names(&fs));
    assert!(files(&fs).len() <= 4, "{:?}", names(&fs));
}

#[test]
fn a_file_is_used_again_once_its_name_is_durable() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    let kept = || -> BTreeSet<String> {
        names(&fs)
            .into_iter()
            .filter(|name| segment::is_free(Path::new(name)))
            .collect()
    };
    for _ in 0..6 {
        write(&log, &[&[7; 150]]);
    }
    let mut reused = 0;
    for round in 0..20_u64 {
        log.release(log.synced()).unwrap();
        // What a crash at this moment leaves has these names, and may keep any later renaming.
        let durable: BTreeSet<String> = names(&fs.after_crash(&mut |_, _| 0));
        let before = kept();
        write(&log, &[&[7; 150]]);
        for name in before.difference(&kept()) {
            assert!(durable.contains(name), "round {round}: {name} among {durable:?}");
            reused += 1;
        }
    }
    assert!(reused > 5, "{reused} files were used again");
}

#[test]
fn what_an_earlier_run_left_is_not_written_to() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    for _ in 0..6 {
        write(&log, &[&[7; 150]]);
    }
    let old: Vec<_> = files(&fs)
        .into_iter()
        .map(|path| (fs.read(&path).unwrap(), path))
        .collect();
    let (log, _) = open(&fs);
    // Each gets a second name, as crashes of earlier versions could leave.
    for (n, (_, path)) in old.iter().enumerate() {
        fs.hard_link(path, &Path::new(DIR).join(format!("second{n}")))
            .unwrap();
    }
    for _ in 0..10 {
        log.release(log.synced()).unwrap();
        write(&log, &[&[8; 150]]);
    }
    for (n, (content, path)) in old.iter().enumerate() {
        let second = fs.read(&Path::new(DIR).join(format!("second{n}"))).unwrap();
        assert_eq!(&second, content, "{}", path.display());
    }
}

/// What crashes of earlier versions could leave: a released file got a new name, and its old one came back.
#[test]
fn a_segment_with_a_second_name_is_read_once_as_what_its_header_says() {
    let bodies: [&[u8]; 3] = [&[1; 150], &[2; 150], &[3; 150]];
    for (of, keeps_own) in [
        (0, true),
        (1, true),
        (2, true),
        (0, false),
        (1, false),
        (2, false),
    ] {
        let fs = MemoryFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        // There are numbers before the first one, for names of an earlier use.
        let (log, _) = open_numbered(&fs, LIMITS, Lsn(1), 16);
        for body in bodies {
            write(&log, &[body]);
        }
        let own = begun(&fs)[of].clone();
        let number = segment::file_number(&own).unwrap();
        for other in [number - 16, number + 100] {
            fs.hard_link(&own, &Path::new(DIR).join(segment::file_name(other)))
                .unwrap();
        }
        if !keeps_own {
            fs.remove(&own).unwrap();
        }
        let (recovered, found) = recover(&fs, 1).unwrap();
        assert_eq!(found, expected(&bodies), "segment {of}, {keeps_own}");
        assert!(recovered.next_number > number + 100);
        // And it goes on, again and again, until nothing is left of it.
        let mut all: Vec<&[u8]> = bodies.to_vec();
        for _ in 0..4 {
            let (log, found) = open(&fs);
            assert_eq!(found, expected(&all), "segment {of}, {keeps_own}");
            for body in bodies {
                write(&log, &[body]);
                all.push(body);
            }
        }
        let (log, _) = open(&fs);
        let floor = log.appended().next();
        log.release(floor).unwrap();
        assert_eq!(recover(&fs, floor.0).unwrap().1, Bodies::new());
        assert_eq!(files(&fs).len(), 1, "{:?}", names(&fs));
    }
}

#[test]
fn a_log_that_is_not_needed_any_more_gives_its_space_back() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    for round in 0..3 {
        for _ in 0..6 {
            write(&log, &[&[7; 150]]);
        }
        log.append(b"waits").unwrap();
        log.release(log.synced().next()).unwrap();
        assert!(files(&fs).len() > 1, "a write waits");
        log.sync().unwrap();
        log.release(log.appended().next()).unwrap();
        assert_eq!(names(&fs).len(), 1, "round {round}: {:?}", names(&fs));
        assert!(files(&fs).len() == 1, "one is ready, with nothing in it");
        assert_eq!(log.on_disk(), (0, 0));
        log.release(log.appended().next()).unwrap();
        assert_eq!(names(&fs).len(), 1);
    }
    let last = log.appended();
    write(&log, &[b"more"]);
    let (recovered, bodies) = recover(&fs.after_crash(&mut |_, _| 0), last.0 + 1).unwrap();
    assert_eq!(recovered.end, last.next());
    assert_eq!(bodies, [(last.next(), b"more".to_vec())]);
}

#[test]
fn records_of_an_earlier_use_are_never_taken_for_new_ones() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    // All records are of one size, so that old ones lie exactly where new ones would.
    let bodies: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 20]).collect();
    let mut floor = 1;
    for (n, body) in bodies.iter().enumerate() {
        write(&log, &[body]);
        if n % 5 == 4 {
            floor = n as u64 + 1;
            log.release(Lsn(floor)).unwrap();
        }
        for kept in [0, 1, 30, 44, usize::MAX] {
            let survived = fs.after_crash(&mut |_, _| kept);
            let (recovered, found) = recover(&survived, floor).unwrap();
            assert_eq!(recovered.end, Lsn(n as u64 + 1));
            let all: Vec<&[u8]> = bodies[..=n].iter().map(Vec::as_slice).collect();
            assert_eq!(found, expected(&all)[floor as usize - 1..], "after write {n}");
        }
    }
}

#[test]
fn a_sync_that_a_crash_cuts_in_a_recycled_file_is_a_torn_tail() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    for _ in 0..8 {
        write(&log, &[&[7; 150]]);
    }
    log.release(log.synced()).unwrap();
    let floor = log.synced().0;
    for cut in 0..250 {
        let before = fs.after_crash(&mut |_, _| 0);
        let recovered = recover(&before, floor).unwrap().0;
        assert_eq!(recovered.end, Lsn(8));
        let (log, _) = super::open_at(&before, Lsn(floor));
        log.append(&[8; 60]).unwrap();
        log.append(&[9; 60]).unwrap();
        // The sync that is cut, as far as it got.
        before.set_faults(Faults {
            capacity: None,
            fail_syncs: true,
        });
        log.sync().unwrap_err();
        let after = before.after_crash(&mut |_, _| cut);
        let (recovered, found) = recover(&after, floor).unwrap();
        assert!(recovered.end >= Lsn(8), "cut at {cut}");
        assert!(
            found
                .iter()
                .skip(1)
                .all(|(lsn, body)| body[0] as u64 == lsn.0 - 1),
            "cut at {cut}: {found:?}"
        );
    }
}

#[test]
fn a_file_that_was_made_ready_and_not_begun_is_no_damage() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[&[1; 50]]);
    write(&log, &[&[2; 30]]);
    assert_eq!(files(&fs).len(), 2, "the next one is ready");
    let survived = fs.after_crash(&mut |_, _| 0);
    let (log, bodies) = open(&survived);
    assert_eq!(bodies, expected(&[&[1; 50], &[2; 30]]));
    write(&log, &[b"more"]);
    let old = files(&fs);
    log.release(log.synced().next()).unwrap();
    assert!(
        files(&survived).iter().all(|path| !old.contains(path)),
        "{:?}",
        names(&survived)
    );
}

#[test]
fn batches_are_counted() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"1"]);
    write(&log, &[b"1", b"2", b"3"]);
    write(&log, &[b"1", b"2", b"3", b"4", b"5", b"6", b"7"]);
    log.sync().unwrap();
    let sizes = log.batch_sizes();
    assert_eq!(sizes.counts[..4], [1, 1, 1, 0]);
    assert_eq!(sizes.syncs(), 3);
    assert_eq!(
        (sizes.quantile(0.0), sizes.quantile(0.5), sizes.quantile(1.0)),
        (1, 3, 7)
    );
    assert_eq!(
        log.written_bytes(),
        3 * group::HEADER_BYTES as u64 + 11 * 3,
        "three groups, writes of a byte each"
    );
}
