//! A client may write anything, so also the bytes of a group, as it would lie in the log.

use std::path::Path;

use super::{DIR, SALT, begun, files, open, open_numbered, recover, write};
use crate::{
    Error, Lsn,
    checksum::checksum_at,
    fs::{Fs, MemoryFs},
    log::{Limits, group, group::Place, segment},
};

const ROOMY: Limits = Limits {
    segment_bytes: 64 << 10,
    pending_bytes: 1 << 20,
    reserve_bytes: 0,
};

/// A group without content that says, for each of the first segments, that all writes before a very late one were durable,
/// sealed by someone who takes this for the salt.
fn forged(salt: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..64 {
        let begin = out.len();
        group::begin(&mut out);
        let late = Lsn(1 << 31);
        group::seal(&mut out[begin..], late, Place::of(number, salt), Lsn(late.0 - 1));
    }
    out
}

/// The same in the layout of version 3.
fn forged_without_salt() -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..64_u64 {
        let mut covered = (1_u64 << 31).to_le_bytes().to_vec();
        covered.extend_from_slice(&1_u32.to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&checksum_at(number.rotate_left(32), &covered).to_le_bytes());
        out.extend_from_slice(&covered);
    }
    out
}

/// Files that are used again, with such values behind what they hold now, and one that is ready to be used.
fn with_values(value: &[u8]) -> (MemoryFs, u64) {
    let fs = MemoryFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let (log, _) = open_numbered(&fs, ROOMY, Lsn(1), 0);
    for _ in 0..200 {
        write(&log, &[value]);
        log.append(b"waits").unwrap();
        log.release(log.synced()).unwrap();
    }
    write(&log, &[b"last"]);
    log.release(log.synced()).unwrap();
    let number = files(&fs).last().and_then(|path| segment::file_number(path));
    assert!((5..60).contains(&number.unwrap()), "{number:?}");
    (fs, log.synced().0)
}

/// Without the salt, which nobody knows, the log would be taken for damaged, also after a stop at which all was synced.
#[test]
fn a_value_that_looks_like_a_group_proves_nothing() {
    for value in [forged(0), forged_without_salt(), forged(SALT ^ 1)] {
        let (fs, last) = with_values(&value);
        let (recovered, bodies) = recover(&fs, last).unwrap();
        assert_eq!(recovered.end, Lsn(last));
        assert_eq!(bodies, [(Lsn(last), b"last".to_vec())]);
    }
    let (fs, last) = with_values(&forged(SALT));
    recover(&fs, last).expect_err("it is the salt that tells them apart");
}

/// A sync that a crash tore, and one that lost its header with it.
#[test]
fn values_in_a_torn_tail_prove_nothing() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[&[forged_without_salt(), forged(0)].concat()]);
    let path = begun(&fs).pop().unwrap();
    for at in [0, segment::HEADER_BYTES] {
        let fs = fs.after_crash(&mut |_, _| 0);
        fs.damage(&path, |bytes| bytes[at..at + 40].fill(0)).unwrap();
        assert_eq!(recover(&fs, 1).unwrap().1, []);
    }
}

#[test]
fn a_segment_that_lost_its_header_is_found_by_the_salt() {
    let fs = MemoryFs::new();
    let (log, _) = open(&fs);
    write(&log, &[b"first"]);
    write(&log, &[b"second"]);
    let path = begun(&fs).pop().unwrap();
    fs.damage(&path, |bytes| bytes[..segment::HEADER_BYTES].fill(0))
        .unwrap();
    let error = recover(&fs, 1).expect_err("two writes are lost");
    assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error}");
}

/// Each of very many places claims to be a group that is as long as may be.
#[test]
fn a_recovery_reads_little_of_what_only_claims_to_be_long() {
    let mut claim = (group::MAX_BYTES as u32 - (1 << 20)).to_le_bytes().to_vec();
    claim.extend_from_slice(&[7; 8]);
    claim.extend_from_slice(&(1_u64 << 31).to_le_bytes());
    claim.extend_from_slice(&1_u32.to_le_bytes());
    let mut bytes = claim.repeat((17 << 20) / claim.len());
    let header = segment::Header {
        version: segment::VERSION,
        number: 5,
        first: Lsn(1),
        previous: Lsn(0),
        salt: SALT,
    };
    bytes[..segment::HEADER_BYTES].copy_from_slice(&header.encode());
    for version in [3_u32, 4] {
        if version == 3 {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let sum = crate::checksum::checksum(&bytes[..40]);
            bytes[40..48].copy_from_slice(&sum.to_le_bytes());
        }
        let fs = MemoryFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        let mut file = fs.create(&Path::new(DIR).join(segment::file_name(5))).unwrap();
        file.append(&bytes).unwrap();
        file.sync().unwrap();
        assert_eq!(recover(&fs, 1).unwrap().1, []);
    }
}
