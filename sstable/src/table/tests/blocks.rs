//! Blocks, stripes, directories: they find what they hold, and stand what they don't understand.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::{collection::btree_map, collection::btree_set, collection::vec, prelude::*};

use crate::{
    Compression,
    table::{
        block::{Builder, Entries, Malformed, Shape, View, common_prefix},
        codec::{Codec, Compressor, Decompressor},
        directory::{self, Directory},
        entry, filter, key,
        layout::Handle,
        properties::Properties,
        stripe::{self, Separator},
    },
};

/// Short keys of few letters, so that many begin alike, and some long ones.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(0_u8..3, 0..6), vec(0_u8..2, 7..12), vec(254_u8.., 0..20)]
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn build(entries: &BTreeMap<Vec<u8>, Vec<u8>>, compression: Compression) -> Vec<u8> {
    let mut builder = Builder::default();
    let mut last: &[u8] = &[];
    for (key, value) in entries {
        builder.push(key, common_prefix(last, key), value);
        last = key;
    }
    let mut out = Vec::new();
    builder.finish(&mut Compressor::new(compression), &mut out);
    out
}

fn body(block: &[u8]) -> Result<(Shape, Vec<u8>), Malformed> {
    let shape = Shape::read(block)?;
    // A malformed block of a test may promise a gigabyte.
    let mut body = vec![
        0;
        if shape.body_bytes < 1 << 20 {
            shape.body_bytes
        } else {
            return Err(Malformed);
        }
    ];
    let stored = View::new(block, shape).stored();
    Decompressor::default().decompress(shape.codec, stored, 0, &mut body)?;
    Ok((shape, body))
}

/// Does everything that can be done with a block.
fn exercise(block: &[u8], target: &[u8]) -> Result<(), Malformed> {
    let (shape, body) = body(block)?;
    let entries = Entries::new(View::new(block, shape), &body);
    let _ = entries.lower_bound(target);
    let mut key = Vec::new();
    for at in 0..shape.count {
        let _ = entries.key(at, &mut key);
        let _ = entries.next_key(at, &mut key);
        let _ = entries.value(at);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_block_is_a_sorted_map(
        content in btree_map(bytes(), vec(any::<u8>(), 0..6), 1..60),
        targets in vec(bytes(), 1..10),
    ) {
        for compression in COMPRESSIONS {
            let block = build(&content, compression);
            let (shape, body) = body(&block).unwrap();
            let entries = Entries::new(View::new(&block, shape), &body);
            let keys: Vec<&Vec<u8>> = content.keys().collect();
            prop_assert_eq!(shape.count, keys.len());
            for target in targets.iter().chain(content.keys()) {
                let expected = keys.partition_point(|key| *key < target);
                let exact = content.contains_key(target);
                prop_assert_eq!(entries.lower_bound(target), Ok((expected, exact)));
            }
            let (mut alone, mut running) = (Vec::new(), Vec::new());
            for (at, (key, value)) in content.iter().enumerate() {
                let place = entries.key(at, &mut alone).unwrap();
                prop_assert_eq!((&alone, &body[place.clone()]), (key, &value[..]));
                let next = if at == 0 {
                    running.clone_from(&alone);
                    place.clone()
                } else {
                    entries.next_key(at, &mut running).unwrap()
                };
                prop_assert_eq!((&running, &next), (key, &place));
                prop_assert_eq!(entries.value(at), Ok(place));
            }
        }
    }

    /// A search decompresses no more than it needs: what it needs must be enough.
    #[test]
    fn the_beginning_of_a_body_is_enough_for_a_search(
        content in btree_map(bytes(), vec(0_u8..3, 0..30), 1..60),
        target in bytes(),
    ) {
        let block = build(&content, Compression::Lz4);
        let shape = Shape::read(&block).unwrap();
        let view = View::new(&block, shape);
        let ties = view.ties(&target);
        prop_assert!(!ties.is_empty() || !content.contains_key(&target));
        if let Some(last) = ties.end.checked_sub(1) && !ties.is_empty() {
            let wanted = if shape.codec.is_partial() { view.end(last) } else { shape.body_bytes };
            let mut body = vec![0; wanted];
            Decompressor::default().decompress(shape.codec, view.stored(), 0, &mut body).unwrap();
            let (at, exact) = Entries::new(view, &body).search(ties, &target).unwrap();
            prop_assert_eq!(exact, content.contains_key(&target));
            if exact {
                let value = Entries::new(view, &body).value(at).unwrap();
                prop_assert_eq!(&body[value], &content[&target][..]);
            }
        }
    }

    #[test]
    fn codecs_return_what_they_took(content in vec(0_u8..4, 1..5_000)) {
        for compression in COMPRESSIONS {
            let mut compressor = Compressor::new(compression);
            let (codec, stored) = compressor.compress(&content);
            prop_assert!(codec.can_hold(stored.len(), content.len()));
            let mut out = vec![0; content.len()];
            Decompressor::default().decompress(codec, stored, 0, &mut out).unwrap();
            prop_assert_eq!(&out, &content);
        }
    }

    /// With checksums that fit, as if somebody had made the file on purpose.
    #[test]
    fn random_bytes_are_no_panic(content in vec(any::<u8>(), 0..300), target in bytes()) {
        let _ = exercise(&content, &target);
        let _ = stripe::Shape::read(&content);
        let content = Bytes::from(content);
        let _ = Directory::read(&content);
        let _ = entry::head(content.clone());
        let _ = entry::row(content.clone());
        let _ = entry::range(&target, content.clone());
        let _ = entry::head_deletion(&content);
        let _ = entry::range_deletion(&content);
        let _ = Properties::decode(content.clone());
        let _ = filter::may_contain(&content, 7, 8);
        let _ = key::parts(&content).map(|parts| key::partition_key(parts.prefix));
    }

    #[test]
    fn a_block_with_a_changed_byte_is_no_panic(
        entries in btree_map(bytes(), bytes(), 1..60),
        at in any::<usize>(),
        byte in any::<u8>(),
        target in bytes(),
    ) {
        for compression in COMPRESSIONS {
            let mut block = build(&entries, compression);
            let at = at % block.len();
            block[at] = byte;
            let _ = exercise(&block, &target);
        }
    }

    #[test]
    fn an_index_leads_to_the_last_separator_that_is_not_greater(
        separators in btree_set(separator(), 1..200),
        targets in vec(separator(), 1..20),
        lengths in vec(1_u64..10_000, 200),
        at in any::<usize>(),
        byte in any::<u8>(),
    ) {
        let mut stripe = index(&separators, &lengths);
        let shape = stripe::Shape::read(&stripe).unwrap();
        let view = stripe::View::new(&stripe, &shape);
        let all: Vec<&Vec<u8>> = separators.iter().collect();
        for target in targets.iter().chain(separators.iter()) {
            let found = view.find(&Separator::new(target), u64::MAX).unwrap();
            let expected = all.partition_point(|separator| *separator <= target).saturating_sub(1);
            prop_assert_eq!(found, expected);
        }
        let mut offset = 500;
        for (block, length) in lengths[..all.len()].iter().enumerate() {
            prop_assert_eq!(view.block(block), Some(offset..offset + length));
            offset += length;
        }
        let at = at % stripe.len();
        stripe[at] = byte;
        if let Ok(shape) = stripe::Shape::read(&stripe) {
            let view = stripe::View::new(&stripe, &shape);
            let _ = view.find(&Separator::new(&targets[0]), 7);
            let _ = view.may_contain(u64::from(byte));
            for block in 0..shape.blocks {
                let _ = view.block(block);
            }
        }
    }

    #[test]
    fn a_directory_leads_to_the_last_stripe_that_is_not_greater(
        separators in btree_set(separator(), 1..200),
        targets in vec(separator(), 1..20),
    ) {
        let mut builder = directory::Builder::default();
        for (at, separator) in separators.iter().enumerate() {
            builder.stripe(separator, Handle { offset: at as u64, length: 1 });
        }
        let directory = Directory::read(&builder.finish().into()).unwrap();
        let all: Vec<&Vec<u8>> = separators.iter().collect();
        for target in targets.iter().chain(separators.iter()) {
            let expected = all.partition_point(|separator| *separator <= target).checked_sub(1);
            prop_assert_eq!(directory.find(&Separator::new(target)), expected);
        }
    }

    #[test]
    fn a_filter_knows_what_it_was_told(hashes in btree_set(any::<u64>(), 0..500), bits in 1_u32..30) {
        let hashes: Vec<u64> = hashes.into_iter().collect();
        let mut lines = Vec::new();
        filter::build(&hashes, bits, &mut lines);
        let known = |hash: &u64| filter::may_contain(&lines, filter::probes(bits), *hash);
        prop_assert!(hashes.iter().all(known));
    }
}

/// Whole separators, of at least 8 bytes: tokens near to and far from each other, some with a rest.
fn separator() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![any::<u64>(), 5_u64..8, (0_u64..50).prop_map(|at| at << 50)];
    (token, prop_oneof![Just(Vec::new()), vec(0_u8..3, 0..5)])
        .prop_map(|(token, rest)| [&token.to_be_bytes()[..], &rest].concat())
}

fn index(separators: &BTreeSet<Vec<u8>>, lengths: &[u64]) -> Vec<u8> {
    let mut builder = stripe::Builder::default();
    let mut offset = 500;
    for (separator, length) in separators.iter().zip(lengths) {
        builder.block(separator, offset, *length, &[offset]);
        offset += length;
    }
    let mut stripe = Vec::new();
    builder.finish(10, &mut stripe);
    stripe
}

/// A block whose length promises more than its body can hold costs no memory.
#[test]
fn a_block_that_promises_too_much_is_refused() {
    let content = BTreeMap::from([(b"key".to_vec(), vec![0; 1000])]);
    let mut block = build(&content, Compression::Lz4);
    assert_eq!(Shape::read(&block).unwrap().codec, Codec::Lz4);
    block[8..12].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    assert!(matches!(Shape::read(&block), Err(Malformed)));
}
