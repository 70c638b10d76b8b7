//! What is read of a segment that is not as it was written.

use bytes::Bytes;
use starling_model::Seconds;

use super::super::{
    damage::{Content, Unreadable, read},
    segment::{HEADER_BYTES, Life, RECORD_HEADER_BYTES, Writer},
};

const SALT: u64 = 0x5EED_0F5A_17ED_0000;

fn life(at: u32) -> Life {
    Life {
        at: Seconds(at),
        until: Seconds(at + 100),
    }
}

/// A segment of groups that were synced one after the other.
fn segment(salt: u64, groups: &[&[&[u8]]]) -> Vec<u8> {
    let (mut writer, mut bytes) = (Writer::new(salt), Vec::new());
    for (at, group) in groups.iter().enumerate() {
        for mutation in *group {
            writer.put(life(at as u32), mutation);
        }
        bytes.extend(writer.take_group());
    }
    bytes
}

fn content(bytes: &[u8], may_be_torn: bool) -> Content {
    read(&Bytes::copy_from_slice(bytes), may_be_torn).expect("a header is whole")
}

fn mutations(content: &Content) -> Vec<&[u8]> {
    content.hints.iter().map(|hint| &*hint.mutation).collect()
}

const THREE: [&[u8]; 3] = [b"the first", b"second", b"and the third"];

#[test]
fn a_whole_segment_is_read() {
    let bytes = segment(SALT, &[&THREE[..2], &THREE[2..]]);
    for may_be_torn in [false, true] {
        let content = content(&bytes, may_be_torn);
        assert_eq!(mutations(&content), THREE);
        assert_eq!(content.hints[2].life, life(1));
        assert_eq!(content.hints[2].end, bytes.len() as u64);
        assert!(content.damaged.is_empty() && content.torn.is_empty());
    }
}

#[test]
fn a_segment_that_was_cut_off_has_what_is_whole_of_it() {
    let bytes = segment(SALT, &[&THREE]);
    let ends: Vec<usize> = content(&bytes, true)
        .hints
        .iter()
        .map(|hint| hint.end as usize)
        .collect();
    for cut in HEADER_BYTES..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let torn = content(&bytes[..cut], true);
        assert_eq!(mutations(&torn), THREE[..whole], "cut at {cut}");
        assert!(
            torn.damaged.is_empty(),
            "nobody was told that it was kept: cut at {cut}"
        );
        // In a segment that was written to its end it was.
        let damaged = content(&bytes[..cut], false);
        let at_an_end = cut == HEADER_BYTES || ends.contains(&cut);
        assert_eq!(damaged.damaged.len(), usize::from(!at_an_end), "cut at {cut}");
    }
    for cut in 0..HEADER_BYTES {
        let torn = read(&Bytes::copy_from_slice(&bytes[..cut]), true);
        assert!(
            torn.is_ok_and(|torn| torn.hints.is_empty() && torn.damaged.len() < 2),
            "{cut}"
        );
    }
}

#[test]
fn a_bit_that_flips_costs_one_hint_at_most() {
    let bytes = segment(SALT, &[&THREE]);
    for at in 0..bytes.len() {
        for mask in [1, 0x10, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let content = content(&damaged, false);
            if at < HEADER_BYTES {
                assert_eq!(mutations(&content), THREE, "the header stands there twice: {at}");
                continue;
            }
            assert_eq!(content.hints.len(), 2, "damaged at {at}");
            let [range] = &content.damaged[..] else {
                panic!("damaged at {at}: {:?}", content.damaged);
            };
            assert!(range.contains(&(at as u64)), "damaged at {at}: {range:?}");
        }
    }
}

#[test]
fn what_was_synced_before_more_was_written_can_not_be_torn() {
    let bytes = segment(SALT, &[&THREE, &THREE]);
    let end_of_first = content(&bytes, false).hints[2].end as usize;
    for (at, torn) in [
        (HEADER_BYTES, false),
        (end_of_first - 1, false),
        (end_of_first, true),
        (bytes.len() - 1, true),
    ] {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        let content = content(&bad, true);
        assert_eq!(content.hints.len(), 5, "{at}");
        assert_eq!(
            (content.torn.len(), content.damaged.len()),
            if torn { (1, 0) } else { (0, 1) },
            "{at}"
        );
    }
}

/// A client may write anything, so also the bytes of a record, made for the very place that they come to. Without the salt,
/// which it never sees, they are not taken for one.
#[test]
fn what_looks_like_a_record_inside_of_a_mutation_is_none() {
    let found = |salt| {
        let mut forger = Writer::new(salt);
        forger.put(life(9), &[0; 8]);
        forger.put(life(9), b"forged");
        let place = HEADER_BYTES + RECORD_HEADER_BYTES + 8;
        let mutation = [&[0; 8][..], &forger.take_group()[place..], &[0; 8]].concat();
        let mut bytes = segment(SALT, &[&[&mutation, b"next"]]);
        bytes[HEADER_BYTES] ^= 1;
        content(&bytes, false).hints
    };
    let mutations = |salt| -> Vec<Bytes> { found(salt).into_iter().map(|hint| hint.mutation).collect() };
    assert_eq!(mutations(SALT + 1), [&b"next"[..]]);
    assert_eq!(
        mutations(SALT),
        [&b"forged"[..], b"next"],
        "it is the salt that tells them apart"
    );
}

#[test]
fn without_its_salt_a_segment_is_unreadable() {
    let mut bytes = segment(SALT, &[&THREE]);
    bytes[16] ^= 1;
    bytes[48] ^= 1;
    assert_eq!(read(&bytes.into(), false), Err(Unreadable::Header));
}

#[test]
fn segments_of_version_1_are_read() {
    let mut bytes = Vec::new();
    for (at, mutation) in THREE.iter().enumerate() {
        let mut record = (mutation.len() as u32).to_be_bytes().to_vec();
        record.extend((at as u32).to_be_bytes());
        let hashed = [&record[..], mutation].concat();
        record.extend(xxhash_rust::xxh3::xxh3_64(&hashed).to_be_bytes());
        record.extend(*mutation);
        bytes.extend(record);
    }
    let whole = content(&bytes, false);
    assert_eq!(mutations(&whole), THREE);
    assert_eq!(whole.hints[1].life.at, Seconds(1));
    assert!(whole.damaged.is_empty());
    let end = whole.hints[0].end;
    bytes[end as usize + 20] ^= 1;
    let damaged = content(&bytes, true);
    assert_eq!(mutations(&damaged), THREE[..1]);
    assert_eq!(damaged.damaged.len(), 1);
    assert_eq!(damaged.damaged[0], end..bytes.len() as u64);
}

#[test]
fn a_segment_of_a_later_version_is_not_guessed_at() {
    let mut bytes = segment(SALT, &[&THREE]);
    for copy in [0, 32] {
        bytes[copy + 11] = 3;
        let check = xxhash_rust::xxh3::xxh3_64(&bytes[copy..copy + 24]).to_be_bytes();
        bytes[copy + 24..copy + 32].copy_from_slice(&check);
    }
    assert_eq!(read(&bytes.into(), true), Err(Unreadable::Version(3)));
}
