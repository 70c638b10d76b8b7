//! Logs that earlier versions wrote.

use std::path::Path;

use super::{Bodies, DIR, expected, open, recover, write};
use crate::{
    Lsn,
    checksum::{checksum, checksum_at},
    fs::{Fs, MemoryFs},
    log::segment,
};

/// A segment with number 5, of three syncs of five writes, in each version.
const SEGMENTS: [(u32, &[u8]); 2] = [
    (3, include_bytes!("../../../fixtures/log-3.segment")),
    (4, include_bytes!("../../../fixtures/log-4.segment")),
];

/// What these segments hold.
fn bodies() -> Bodies {
    let body = |n: u8| vec![n; [0, 3, 16, 40, 100][usize::from(n % 5)]];
    (0..15).map(|n| (Lsn(u64::from(n) + 1), body(n))).collect()
}

fn with_segment(bytes: &[u8]) -> MemoryFs {
    let fs = MemoryFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    let mut file = fs.create(&Path::new(DIR).join(segment::file_name(5))).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    fs
}

#[test]
fn segments_of_every_version_are_read_and_the_log_goes_on() {
    for (version, bytes) in SEGMENTS {
        assert_eq!(bytes[8..12], version.to_le_bytes());
        let fs = with_segment(bytes);
        let (log, found) = open(&fs);
        assert_eq!(found, bodies(), "version {version}");
        write(&log, &[b"more"]);
        let mut all = bodies();
        all.push((Lsn(16), b"more".to_vec()));
        assert_eq!(open(&fs).1, all, "version {version}");
    }
}

#[test]
fn damage_is_found_in_segments_of_every_version() {
    for (version, bytes) in SEGMENTS {
        let fs = with_segment(bytes);
        // In the first group, behind its header.
        fs.damage(&Path::new(DIR).join(segment::file_name(5)), |bytes| {
            bytes[100] ^= 1;
        })
        .unwrap();
        let error = recover(&fs, 1).expect_err("the first write is damaged");
        assert!(error.to_string().contains("durable"), "{version}: {error}");
    }
}

/// As version 2 wrote them: a header and a body for each write.
#[test]
fn a_log_of_version_2_is_read_and_goes_on() {
    let mut bytes = b"STARLLOG".to_vec();
    bytes.extend_from_slice(&2_u32.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for word in [5_u64, 1, 0] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    for (lsn, body) in [(1_u64, &b"first"[..]), (2, b"second"), (3, b"third")] {
        let mut covered = lsn.to_le_bytes().to_vec();
        covered.extend_from_slice(&1_u32.to_le_bytes());
        covered.extend_from_slice(body);
        let place = 5_u64.rotate_left(32) ^ body.len() as u64;
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum_at(place, &covered).to_le_bytes());
        bytes.extend_from_slice(&covered);
    }
    let fs = with_segment(&bytes);
    let (log, bodies) = open(&fs);
    assert_eq!(bodies, expected(&[b"first", b"second", b"third"]));
    write(&log, &[b"fourth"]);
    assert_eq!(open(&fs).1, expected(&[b"first", b"second", b"third", b"fourth"]));
    fs.damage(&Path::new(DIR).join(segment::file_name(5)), |bytes| {
        bytes[60] ^= 1;
    })
    .unwrap();
    let error = recover(&fs, 1).expect_err("the first write is damaged");
    assert!(error.to_string().contains("durable"), "{error}");
}
