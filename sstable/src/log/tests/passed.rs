//! Damage of what nobody needs any more.

use super::{Bodies, Limits, begun, expected, open_with, recover, write};
use crate::{
    Lsn,
    fs::MemoryFs,
    log::{group, segment},
};

const LIMITS: Limits = Limits {
    segment_bytes: 4096,
    pending_bytes: 10_000,
    reserve_bytes: 0,
};

/// Bytes of a group of one write.
const GROUP: usize = group::HEADER_BYTES + 2 + 20;

/// A log of nine writes of a sync each, in one segment.
fn log() -> (MemoryFs, Vec<Vec<u8>>) {
    let fs = MemoryFs::new();
    let bodies: Vec<Vec<u8>> = (0..9_u8).map(|n| vec![n; 20]).collect();
    let (log, _) = open_with(&fs, LIMITS, Lsn(1));
    for body in &bodies {
        write(&log, &[body]);
    }
    (fs, bodies)
}

fn damaged(fs: &MemoryFs, at: &[usize]) -> MemoryFs {
    let fs = fs.after_crash(&mut |_, _| 0);
    let path = begun(&fs).pop().unwrap();
    fs.damage(&path, |bytes| at.iter().for_each(|at| bytes[*at] ^= 1))
        .unwrap();
    fs
}

#[test]
fn damage_of_writes_that_are_in_tables_is_passed_and_counted() {
    let (fs, bodies) = log();
    let all: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let all = expected(&all);
    for damaged_write in 1..9_usize {
        let begin = segment::HEADER_BYTES + (damaged_write - 1) * GROUP;
        for at in [begin, begin + 12, begin + GROUP - 1] {
            let fs = damaged(&fs, &[at]);
            for floor in 1..=10_u64 {
                let found = recover(&fs, floor);
                if floor <= damaged_write as u64 {
                    let error = found.expect_err("the write is needed");
                    assert!(error.to_string().contains("durable"), "{error}");
                    continue;
                }
                let (recovered, bodies) = found.unwrap();
                assert_eq!(recovered.damaged_bytes, GROUP as u64);
                assert_eq!(recovered.end, Lsn(9.max(floor - 1)));
                let needed: Bodies = all[floor as usize - 1..].to_vec();
                assert_eq!(bodies, needed, "write {damaged_write}, floor {floor}");
            }
        }
    }
}

#[test]
fn several_damaged_places_are_passed_one_after_the_other() {
    let (fs, bodies) = log();
    let at = |write: usize| segment::HEADER_BYTES + (write - 1) * GROUP + 30;
    let fs = damaged(&fs, &[at(1), at(2), at(5)]);
    let (recovered, found) = recover(&fs, 6).unwrap();
    assert_eq!(recovered.damaged_bytes, 3 * GROUP as u64);
    let needed: Vec<&[u8]> = bodies[5..].iter().map(Vec::as_slice).collect();
    let bodies: Vec<&[u8]> = found.iter().map(|(_, body)| &body[..]).collect();
    assert_eq!(bodies, needed);
    recover(&fs, 5).expect_err("write 5 is needed");
}
