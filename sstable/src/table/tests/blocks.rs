//! Blocks: they find what they hold, and stand what they don't understand.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::btree_map, collection::vec, prelude::*};

use crate::table::{
    block::{BlockCursor, Builder, Malformed},
    entry, filter, key,
    layout::{self, Handle},
    properties::Properties,
};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..3, 0..6)
}

fn build(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> BlockCursor {
    let mut builder = Builder::default();
    for (key, value) in entries {
        builder.push(key, value);
    }
    BlockCursor::new(builder.finish().into()).unwrap()
}

/// Does everything a cursor can.
fn exercise(content: Bytes, target: &[u8]) -> Result<(), Malformed> {
    let mut cursor = BlockCursor::new(content)?;
    cursor.seek(target)?;
    cursor.seek_back(target)?;
    cursor.first()?;
    for _ in 0..1_000 {
        if !cursor.next()? {
            break;
        }
        let _ = cursor.value();
    }
    cursor.last()?;
    for _ in 0..1_000 {
        if !cursor.prev()? {
            break;
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_block_is_a_sorted_map(
        entries in btree_map(bytes(), bytes(), 1..60),
        targets in vec(bytes(), 1..10),
    ) {
        let mut cursor = build(&entries);
        for target in targets {
            let after = entries.range(target.clone()..).next();
            prop_assert_eq!(cursor.seek(&target), Ok(after.is_some()));
            if let Some((key, value)) = after {
                prop_assert_eq!((cursor.key(), &cursor.value()[..]), (&key[..], &value[..]));
            }
            let before = entries.range(..=target.clone()).next_back();
            prop_assert_eq!(cursor.seek_back(&target), Ok(before.is_some()));
            if let Some((key, _)) = before {
                prop_assert_eq!(cursor.key(), &key[..]);
            }
        }
        cursor.first().unwrap();
        let mut forward = vec![cursor.key().to_vec()];
        while cursor.next().unwrap() {
            forward.push(cursor.key().to_vec());
        }
        prop_assert_eq!(&forward, &entries.keys().cloned().collect::<Vec<_>>());
        let mut backward = vec![cursor.key().to_vec()];
        while cursor.prev().unwrap() {
            backward.push(cursor.key().to_vec());
        }
        backward.reverse();
        prop_assert_eq!(backward, forward);
    }

    /// With checksums that fit, as if somebody had made the file on purpose.
    #[test]
    fn random_bytes_are_no_panic(content in vec(any::<u8>(), 0..200), target in bytes()) {
        let content = Bytes::from(content);
        let _ = exercise(content.clone(), &target);
        let _ = entry::head(content.clone());
        let _ = entry::row(content.clone());
        let _ = entry::range(&target, content.clone());
        let _ = Properties::decode(content.clone());
        let _ = filter::decode_index(&content);
        let _ = filter::may_contain(&content, 7);
        let _ = key::parts(&content).map(|parts| key::partition_key(parts.prefix));
    }

    #[test]
    fn a_block_with_a_changed_byte_is_no_panic(
        entries in btree_map(bytes(), bytes(), 1..60),
        at in any::<usize>(),
        byte in any::<u8>(),
        target in bytes(),
    ) {
        let mut builder = Builder::default();
        for (key, value) in &entries {
            builder.push(key, value);
        }
        let mut content = builder.finish();
        let at = at % content.len();
        content[at] = byte;
        let _ = exercise(content.into(), &target);
    }

    #[test]
    fn frames_return_their_content(content in vec(0_u8..4, 0..500), offset in 0_u64..50) {
        for compression in [crate::Compression::None, crate::Compression::Lz4] {
            let mut file = vec![0; offset as usize];
            let frame = layout::frame(&content, offset, compression);
            file.extend_from_slice(&frame);
            let handle = Handle { offset, length: frame.len() as u32 };
            let path = std::path::Path::new("file");
            let read = layout::unframe(path, &file.clone().into(), handle).unwrap();
            prop_assert_eq!(&read[..], &content[..]);
            // The same bytes at another place are not what was written there.
            file.insert(0, 0);
            let moved = Handle { offset: offset + 1, ..handle };
            prop_assert!(layout::unframe(path, &file.into(), moved).is_err());
        }
    }
}

/// A frame whose lengths promise far more than it holds costs no memory.
#[test]
fn a_frame_that_promises_too_much_is_refused() {
    let mut frame = layout::frame(&[0; 1000], 0, crate::Compression::Lz4);
    let at = frame.len() - 12;
    frame[at..at + 4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    let end = frame.len() - 8;
    let sum = crate::checksum::checksum_at(0, &frame[..end]);
    frame[end..].copy_from_slice(&sum.to_le_bytes());
    let handle = Handle {
        offset: 0,
        length: frame.len() as u32,
    };
    let error = layout::unframe(std::path::Path::new("file"), &frame.into(), handle).unwrap_err();
    assert!(error.to_string().contains("impossible lengths"), "{error}");
}
