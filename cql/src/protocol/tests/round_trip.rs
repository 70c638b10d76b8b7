//! What is written is read again, in both versions, however the bytes arrive.

use proptest::prelude::*;

use super::{
    arbitrary::{request_frame, response_frame, version},
    *,
};

proptest! {
    #[test]
    fn requests_come_back((version, frame) in request_frame(), stream in 0..i16::MAX) {
        let bytes = encoded(version, stream, &frame);
        let [envelope]: [Envelope; 1] = requests(&mut server(), &bytes).unwrap().try_into().unwrap();
        prop_assert_eq!(envelope.stream, stream);
        prop_assert_eq!(RequestFrame::decode(envelope).unwrap(), frame);
    }

    #[test]
    fn responses_come_back((version, frame) in response_frame(), stream: i16) {
        let bytes = answered(version, stream, &frame);
        let [envelope]: [Envelope; 1] = requests(&mut client(), &bytes).unwrap().try_into().unwrap();
        prop_assert_eq!(envelope.stream, stream);
        prop_assert_eq!(ResponseFrame::decode(envelope).unwrap(), frame);
    }

    /// Many messages, compressed or not, in segments or not, cut into pieces of any size.
    #[test]
    fn streams_come_back(
        version in version(),
        frames in proptest::collection::vec(request_frame(), 1..12),
        large in proptest::option::of(0_usize..400_000),
        compression in 0..3,
        cuts in proptest::collection::vec(1_usize..70_000, 1..40),
    ) {
        let mut frames: Vec<RequestFrame> =
            frames.into_iter().filter(|(of, _)| *of == version).map(|(_, frame)| frame).collect();
        if let Some(length) = large {
            frames.insert(frames.len() / 2, Request::AuthResponse(Some(vec![7; length].into())).into());
        }
        let compression = match compression {
            0 => None,
            1 => Some(Compression::Lz4),
            _ => Compression::supported(version).last().copied(),
        };
        let mut encoder = Encoder::new(version);
        let mut decoder = server();
        encoder.set_compression(compression);
        decoder.set_compression(compression);
        if version == Version::V5 {
            encoder.use_segments();
            decoder.use_segments();
        }
        let mut bytes = Vec::new();
        for (stream, frame) in (0..).zip(&frames) {
            encoder.request(&mut bytes, stream, frame).unwrap();
        }
        encoder.finish(&mut bytes);
        prop_assert_eq!(arrive_in_pieces(&mut decoder, &bytes, &cuts), frames);
    }
}

/// Feeds `bytes` in pieces of the lengths `cuts`, again and again.
fn arrive_in_pieces(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> Vec<RequestFrame> {
    let mut input = BytesMut::new();
    let mut arrived = Vec::new();
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        input.extend_from_slice(piece);
        rest = after;
        while let Some(envelope) = decoder.next(&mut input).unwrap() {
            arrived.push(RequestFrame::decode(envelope).unwrap());
        }
        if rest.is_empty() {
            break;
        }
    }
    assert!(input.is_empty());
    arrived
}
