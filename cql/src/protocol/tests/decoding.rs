//! Envelopes without segments: versions, directions, limits, and what follows an error.

use super::*;
use crate::protocol::header::PROTOCOL_MAX_BODY_BYTES;

fn error_of(bytes: &[u8]) -> FrameError {
    server().next(&mut BytesMut::from(bytes)).unwrap_err()
}

#[test]
fn other_versions_are_named_with_their_stream() {
    for (bytes, version, stream) in [
        (&[0x42, 0, 0, 7, 5, 0, 0, 0, 0][..], 0x42, 7),
        (&[0x41, 0, 1, 0, 5, 0, 0, 0, 0], 0x41, 256),
        (&[3, 0, 0, 1, 5, 0, 0, 0, 0], 3, 1),
        // Versions 1 and 2 have one byte for the stream and 8 bytes in all.
        (&[1, 0, 9, 5, 0, 0, 0, 0], 1, 9),
        (&[2, 0, 9, 5], 2, 9),
        (&[6, 0, 0, 2, 5, 0, 0, 0, 0], 6, 2),
        (b"GET / HTTP/1.1\r\n", b'G', i16::from_be_bytes(*b"T ")),
    ] {
        let error = error_of(bytes);
        assert_eq!(error.kind, FrameErrorKind::Version(version));
        assert_eq!(error.stream, stream);
        assert!(error.fatal());
        assert!(
            error.to_string().contains("unsupported protocol version"),
            "{error}"
        );
        assert!(error.to_string().contains("(4/v4, 5/v5)"), "{error}");
    }
}

#[test]
fn the_version_can_not_change_once_it_is_settled() {
    let mut decoder = server();
    decoder.expect_version(Version::V4);
    let error = decoder
        .next(&mut BytesMut::from(&[5, 0, 0, 1, 5, 0, 0, 0, 0][..]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a message of version 5 on a connection of version 4"
    );
    assert!(error.fatal());
}

#[test]
fn responses_are_not_requests() {
    let bytes = answered(Version::V4, 1, &Response::Ready.into());
    assert_eq!(error_of(&bytes).kind, FrameErrorKind::Direction);
    // With the right direction and the opcode of a response the envelope is well-formed, its content not.
    let envelopes = requests(&mut server(), &[4, 0, 0, 1, 2, 0, 0, 0, 0]).unwrap();
    assert!(RequestFrame::decode(envelopes[0].clone()).is_err());
}

#[test]
fn lengths_beyond_the_protocol_end_the_connection() {
    for length in [PROTOCOL_MAX_BODY_BYTES as u32 + 1, 0x8000_0000, u32::MAX] {
        let mut bytes = vec![4, 0, 0, 1, 7];
        bytes.extend_from_slice(&length.to_be_bytes());
        let error = error_of(&bytes);
        assert_eq!(error.kind, FrameErrorKind::Length(length));
        assert!(error.fatal());
    }
}

#[test]
fn what_follows_a_refused_message_is_read() {
    let options = [4, 0, 0, 8, 5, 0, 0, 0, 0];
    let refusals: [(&[u8], &str); 3] = [
        (
            &[4, 0, 0, 1, 0x55, 0, 0, 0, 3],
            "0x55 is not an opcode of the protocol",
        ),
        (
            &[4, 1, 0, 1, 7, 0, 0, 0, 3],
            "a compressed message, and the handshake agreed on no compression",
        ),
        (
            &[4, 0, 0, 1, 7, 0, 0, 0, 17],
            "a message of 17 bytes is larger than the 16 bytes accepted; nothing was done",
        ),
    ];
    for (header, message) in refusals {
        let mut decoder = Decoder::new(Direction::Requests, 16);
        let mut input = BytesMut::from(header);
        input.extend_from_slice(&vec![0xaa; usize::from(header[8])]);
        input.extend_from_slice(&options);
        let error = decoder.next(&mut input).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.stream, error.fatal()),
            (message, 1, false)
        );
        assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 8);
        assert_eq!(decoder.next(&mut input), Ok(None));
    }
}

#[test]
fn a_damaged_body_costs_one_message() {
    for compression in [Compression::Lz4, Compression::Snappy] {
        let mut decoder = server();
        decoder.set_compression(Some(compression));
        let mut input = BytesMut::from(&[4, 1, 0, 1, 7, 0, 0, 0, 5, 0, 0, 1, 0, 9][..]);
        input.extend_from_slice(&[4, 0, 0, 2, 5, 0, 0, 0, 0]);
        let error = decoder.next(&mut input).unwrap_err();
        assert!(matches!(error.kind, FrameErrorKind::Decompress(_)), "{error}");
        assert!(!error.fatal());
        assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 2);
    }
}

#[test]
fn a_message_can_be_given_up_while_it_arrives() {
    let mut decoder = server();
    let mut input = BytesMut::from(&[4, 0, 0, 1, 7, 0, 0, 0, 5, 1, 2][..]);
    assert_eq!(decoder.next(&mut input), Ok(None));
    assert_eq!(
        decoder.incoming(),
        Some(Incoming {
            stream: 1,
            length: 5,
            held: 5,
            waits: false
        })
    );
    decoder.skip_incoming();
    input.extend_from_slice(&[3, 4, 5, 4, 0, 0, 2, 5, 0, 0, 0, 0]);
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().stream, 2);
}

#[test]
fn a_message_that_takes_much_waits_until_it_is_allowed_also_if_only_what_it_becomes_is_much() {
    for compression in [None, Some(Compression::Lz4), Some(Compression::Snappy)] {
        let mut decoder = server();
        decoder.set_compression(compression);
        decoder.hold_above(10_000);
        let mut encoder = Encoder::new(Version::V4);
        encoder.set_compression(compression);
        let mut bytes = Vec::new();
        let token = |n| RequestFrame::from(Request::AuthResponse(Some(vec![7; n].into())));
        encoder.request(&mut bytes, 1, &token(9_000)).unwrap();
        encoder.request(&mut bytes, 2, &token(100_000)).unwrap();
        let mut input = BytesMut::from(&bytes[..]);
        let small = decoder.next(&mut input).unwrap().unwrap();
        assert_eq!(small.stream, 1);
        // All of it has arrived, and still it is not decompressed.
        assert_eq!(decoder.next(&mut input), Ok(None));
        let incoming = decoder.incoming().unwrap();
        assert!(incoming.waits && incoming.held > 100_000, "{incoming:?}");
        assert_eq!(incoming.length < 100_000, compression.is_some());
        decoder.allow_incoming();
        let large = decoder.next(&mut input).unwrap().unwrap();
        assert_eq!((large.stream, large.body.len()), (2, 100_004));
        assert_eq!(decoder.incoming(), None);
    }
}

#[test]
fn startup_is_never_compressed_and_small_bodies_are_left_alone() {
    let mut encoder = Encoder::new(Version::V4);
    encoder.set_compression(Some(Compression::Lz4));
    let long = "x".repeat(1_000);
    for (request, compressed) in [
        (Request::Startup(vec![("k".to_owned(), long.clone())]), false),
        (Request::AuthResponse(Some(long.into())), true),
        (Request::AuthResponse(Some("short".into())), false),
    ] {
        let mut bytes = Vec::new();
        encoder.request(&mut bytes, 0, &request.into()).unwrap();
        assert_eq!(bytes[1] & Flags::COMPRESSED != 0, compressed);
    }
}

#[test]
fn what_a_version_can_not_express_is_an_error_and_leaves_no_bytes() {
    let mut out = vec![1, 2, 3];
    let prepare = Request::Prepare {
        query: "SELECT".to_owned(),
        keyspace: Some("ks".to_owned()),
    };
    let error = Encoder::new(Version::V4)
        .request(&mut out, 0, &prepare.into())
        .unwrap_err();
    assert!(error.to_string().contains("it needs v5"), "{error}");
    let name = "n".repeat(70_000);
    assert!(
        Encoder::new(Version::V5)
            .response(&mut out, 0, &Response::Authenticate(name).into())
            .is_err()
    );
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn long_error_messages_are_cut_between_characters() {
    let error = crate::Error::invalid("é".repeat(50_000));
    let bytes = answered(Version::V4, 0, &error.into());
    let [envelope] = requests(&mut client(), &bytes).unwrap().try_into().unwrap();
    let Response::Error(error) = ResponseFrame::decode(envelope).unwrap().response else {
        panic!("not an error");
    };
    assert_eq!(error.message, "é".repeat(32_767));
}
