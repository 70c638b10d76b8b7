//! Bytes that nobody should send: never a panic, never memory beyond the bound.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{arbitrary::request_frame, *};

/// Reads messages until the decoder has had enough, and ends although the input is arbitrary.
fn exhaust(mut decoder: Decoder, bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    loop {
        match decoder.next(&mut input) {
            Ok(Some(envelope)) => {
                let _ = RequestFrame::decode(envelope.clone());
                let _ = ResponseFrame::decode(envelope);
            }
            Ok(None) => return,
            Err(error) if error.fatal() => return,
            Err(_) => {}
        }
    }
}

fn decoders(segments: bool) -> impl Iterator<Item = Decoder> {
    [Direction::Requests, Direction::Responses]
        .into_iter()
        .flat_map(move |direction| {
            [None, Some(Compression::Lz4), Some(Compression::Snappy)].map(move |compression| {
                let mut decoder = Decoder::new(direction, 4_096);
                decoder.set_compression(compression);
                if segments {
                    decoder.use_segments();
                }
                decoder
            })
        })
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..300), segments: bool) {
        for decoder in decoders(segments) {
            exhaust(decoder, &bytes);
        }
    }

    #[test]
    fn arbitrary_bodies(opcode in 0..Opcode::ALL.len(), v5: bool, flags: u8, body in vec(any::<u8>(), 0..200)) {
        let envelope = Envelope {
            version: if v5 { Version::V5 } else { Version::V4 },
            flags: Flags(flags),
            stream: 0,
            opcode: Opcode::ALL[opcode],
            body: body.into(),
        };
        let _ = RequestFrame::decode(envelope.clone());
        let _ = ResponseFrame::decode(envelope);
    }

    /// A good message with one byte changed, or cut short.
    #[test]
    fn damaged_messages((version, frame) in request_frame(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = encoded(version, 1, &frame);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        exhaust(server(), &bytes);
    }

    /// A damaged segment never gets through: every bit is under a checksum.
    #[test]
    fn damaged_segments(payload in vec(any::<u8>(), 0..300), compressed: bool, bit: prop::sample::Index) {
        let mut bytes = Vec::new();
        segment::encode(&payload, true, compressed, &mut bytes);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let decoded = segment::decode(&mut BytesMut::from(&bytes[..]), compressed);
        prop_assert!(decoded.is_err(), "{decoded:?}");
    }

    #[test]
    fn arbitrary_compressed_bodies(bytes in vec(any::<u8>(), 0..200)) {
        for compression in [Compression::Lz4, Compression::Snappy] {
            if let Ok(body) = compression.decompress_body(&bytes, 1_000) {
                prop_assert!(body.len() <= 1_000);
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut lz4 = 0x7fff_ffff_u32.to_be_bytes().to_vec();
    lz4.extend_from_slice(&[0xff; 100]);
    let refused = Compression::Lz4.decompress_body(&lz4, 32 << 20).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "2147483647 bytes after decompression are more than the 33554432 allowed"
    );
    // Within the limit, and still more than 100 bytes can hold.
    lz4[..4].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    assert_eq!(
        Compression::Lz4.decompress_body(&lz4, 32 << 20),
        Err(compression::DecompressError::Damaged)
    );
    let snappy = [0xff, 0xff, 0xff, 0x7f, 0, 0];
    assert!(Compression::Snappy.decompress_body(&snappy, 32 << 20).is_err());
}

#[test]
fn rows_can_not_claim_to_be_many() {
    for (columns, rows) in [
        (0, i32::MAX),
        (i32::MAX, i32::MAX),
        (1, 1 << 30),
        (-1, 1),
        (1, -1),
    ] {
        let mut body = Vec::new();
        for number in [2, 4, columns, rows] {
            body.extend_from_slice(&i32::to_be_bytes(number));
        }
        let envelope = Envelope {
            version: Version::V4,
            flags: Flags::default(),
            stream: 0,
            opcode: Opcode::Result,
            body: body.into(),
        };
        assert!(
            ResponseFrame::decode(envelope).is_err(),
            "{columns} columns, {rows} rows"
        );
    }
}

#[test]
fn types_can_not_nest_for_ever() {
    let nested: Bytes = [0x00, 0x20].repeat(100_000).into();
    assert_eq!(
        column_type::read(&mut reader::Reader::new(nested)),
        Err(Malformed::TooDeep(column_type::MAX_DEPTH))
    );
}
