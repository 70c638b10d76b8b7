//! Segments: golden bytes, limits, and how envelopes lie in them.

use bytes::Bytes;

use super::*;
use crate::protocol::segment::{MAX_PAYLOAD_BYTES, Segment};

#[test]
fn a_plain_segment() {
    let mut bytes = Vec::new();
    segment::encode(b"hello world", true, false, &mut bytes);
    // As the Python driver writes it.
    assert_eq!(hex(&bytes), "0b000294081168656c6c6f20776f726c641f48624a");
    let decoded = segment::decode(&mut BytesMut::from(&bytes[..]), false)
        .unwrap()
        .unwrap();
    assert_eq!(
        decoded,
        Segment {
            self_contained: true,
            payload: Bytes::from_static(b"hello world")
        }
    );
}

#[test]
fn a_compressed_segment_and_one_that_does_not_shrink() {
    for (payload, shrinks) in [(vec![b'a'; 1_000], true), (b"short".to_vec(), false)] {
        let mut bytes = Vec::new();
        segment::encode(&payload, false, true, &mut bytes);
        assert_eq!(bytes.len() < payload.len(), shrinks);
        let decoded = segment::decode(&mut BytesMut::from(&bytes[..]), true)
            .unwrap()
            .unwrap();
        assert_eq!(
            decoded,
            Segment {
                self_contained: false,
                payload: payload.into()
            }
        );
    }
}

#[test]
fn a_segment_that_arrives_byte_by_byte() {
    let mut bytes = Vec::new();
    segment::encode(b"slowly", true, false, &mut bytes);
    let mut input = BytesMut::new();
    for (at, byte) in bytes.iter().enumerate() {
        input.extend_from_slice(&[*byte]);
        let complete = at + 1 == bytes.len();
        assert_eq!(
            segment::decode(&mut input, false).unwrap().is_some(),
            complete,
            "at byte {at}"
        );
    }
}

fn in_segments() -> (Encoder, Decoder) {
    let (mut encoder, mut decoder) = (Encoder::new(Version::V5), server());
    encoder.use_segments();
    decoder.use_segments();
    (encoder, decoder)
}

fn token(length: usize) -> RequestFrame {
    Request::AuthResponse(Some(vec![1; length].into())).into()
}

#[test]
fn small_messages_share_a_segment_and_large_ones_get_their_own() {
    let (mut encoder, mut decoder) = in_segments();
    let mut bytes = Vec::new();
    let lengths = [
        10,
        20,
        300_000,
        30,
        MAX_PAYLOAD_BYTES - 13,
        40,
        MAX_PAYLOAD_BYTES - 12,
    ];
    for (stream, length) in (0..).zip(lengths) {
        encoder.request(&mut bytes, stream, &token(length)).unwrap();
    }
    encoder.finish(&mut bytes);
    let mut input = BytesMut::from(&bytes[..]);
    let mut shape = Vec::new();
    while let Some(segment) = segment::decode(&mut input, false).unwrap() {
        shape.push((segment.self_contained, segment.payload.len()));
    }
    let full = MAX_PAYLOAD_BYTES;
    let expected = [
        (true, 13 + 10 + 13 + 20),
        (false, full),
        (false, full),
        (false, 300_013 - 2 * full),
        (true, 13 + 30),
        (true, full),
        (true, 13 + 40),
        (false, full),
        (false, 1),
    ];
    assert_eq!(shape, expected);
    let envelopes = requests(&mut decoder, &bytes).unwrap();
    let streams: Vec<_> = envelopes.iter().map(|envelope| envelope.stream).collect();
    assert_eq!(streams, [0, 1, 2, 3, 4, 5, 6]);
}

fn refused(pieces: &[(&[u8], bool)]) -> FrameError {
    let (_, mut decoder) = in_segments();
    let mut bytes = Vec::new();
    for (payload, self_contained) in pieces {
        segment::encode(payload, *self_contained, false, &mut bytes);
    }
    requests(&mut decoder, &bytes).unwrap_err()
}

#[test]
fn envelopes_that_do_not_fit_their_segments_end_the_connection() {
    let whole = encoded(Version::V5, 9, &token(100));
    let (head, tail) = whole.split_at(50);
    for pieces in [
        // A part where whole envelopes should be.
        &[(head, true)][..],
        &[(&whole[..5], true)],
        // A large message that breaks off.
        &[(head, false), (&whole[..], true)],
        // Bytes behind the end of a large message.
        &[(head, false), (tail, false), (tail, false)],
        &[(&[&whole[..], tail].concat()[..], false)],
        // No header in the first piece.
        &[(&whole[..3], false)],
    ] {
        let error = refused(pieces);
        assert!(error.fatal(), "{error}");
    }
}

#[test]
fn a_large_message_that_is_too_large_is_passed_over() {
    let (mut encoder, _) = in_segments();
    let mut decoder = Decoder::new(Direction::Requests, 200_000);
    decoder.use_segments();
    let mut bytes = Vec::new();
    for (stream, length) in [(1, 10), (2, 500_000), (3, 150_000)] {
        encoder.request(&mut bytes, stream, &token(length)).unwrap();
    }
    encoder.finish(&mut bytes);
    let mut input = BytesMut::from(&bytes[..]);
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 1);
    let error = decoder.next(&mut input).unwrap_err();
    assert_eq!((error.stream, error.fatal()), (2, false));
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 3);
    assert_eq!(decoder.next(&mut input), Ok(None));
}

#[test]
fn a_large_message_waits_until_it_is_allowed() {
    let (mut encoder, mut decoder) = in_segments();
    decoder.hold_above(400_000);
    let mut bytes = Vec::new();
    encoder.request(&mut bytes, 2, &token(500_000)).unwrap();
    encoder.finish(&mut bytes);
    let mut input = BytesMut::from(&bytes[..]);
    assert_eq!(decoder.next(&mut input), Ok(None));
    assert!(decoder.incoming().unwrap().waits);
    assert!(input.len() > 300_000, "the rest stays where it is");
    decoder.allow_incoming();
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 2);
}

#[test]
fn a_large_message_can_be_given_up_while_it_arrives() {
    let (mut encoder, mut decoder) = in_segments();
    let mut bytes = Vec::new();
    encoder.request(&mut bytes, 2, &token(500_000)).unwrap();
    encoder.request(&mut bytes, 3, &token(5)).unwrap();
    encoder.finish(&mut bytes);
    let mut input = BytesMut::from(&bytes[..200_000]);
    assert_eq!(decoder.next(&mut input), Ok(None));
    let length = 500_004;
    assert_eq!(
        decoder.incoming(),
        Some(Incoming {
            stream: 2,
            length,
            held: length,
            waits: false
        })
    );
    decoder.skip_incoming();
    assert_eq!(decoder.incoming(), None);
    input.extend_from_slice(&bytes[200_000..]);
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 3);
}
