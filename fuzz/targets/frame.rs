//! The native protocol's codec: what a socket may bring, from either side.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use starling_cql::protocol::{Compression, Decoder, Direction, Encoder, RequestFrame, ResponseFrame};

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = data.split_first() else { return };
    let direction = if mode & 1 == 0 { Direction::Requests } else { Direction::Responses };
    let mut decoder = Decoder::new(direction, 1 << 20);
    decoder.set_compression(match mode >> 1 & 3 {
        1 => Some(Compression::Lz4),
        2 => Some(Compression::Snappy),
        _ => None,
    });
    if mode & 8 != 0 {
        decoder.use_segments();
    }
    let mut input = BytesMut::from(bytes);
    // An error that is not fatal leaves the decoder usable; each one consumes input, so this ends.
    for _ in 0..=bytes.len() {
        let before = input.len();
        match decoder.next(&mut input) {
            Ok(Some(envelope)) => {
                let version = envelope.version;
                let stream = envelope.stream;
                let mut out = Vec::new();
                match direction {
                    Direction::Requests => {
                        if let Ok(frame) = RequestFrame::decode(envelope) {
                            let _too_large = Encoder::new(version).request(&mut out, stream, &frame);
                        }
                    }
                    Direction::Responses => {
                        if let Ok(frame) = ResponseFrame::decode(envelope) {
                            let _too_large = Encoder::new(version).response(&mut out, stream, &frame);
                        }
                    }
                }
            }
            Ok(None) => break,
            Err(error) if error.fatal() => break,
            Err(_) if input.len() == before => break,
            Err(_) => {}
        }
    }
});
