//! Tests of the codec: golden bytes, round trips, and bytes that nobody should send.

mod arbitrary;
mod decoding;
mod golden;
mod hostile;
mod round_trip;
mod segments;

use bytes::BytesMut;

use super::*;

/// What a server sees of `bytes`: every message, or the first error.
fn requests(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Envelope>, FrameError> {
    let mut input = BytesMut::from(bytes);
    let mut envelopes = Vec::new();
    while let Some(envelope) = decoder.next(&mut input)? {
        envelopes.push(envelope);
    }
    assert!(input.is_empty(), "{} bytes are left", input.len());
    Ok(envelopes)
}

/// A request's bytes, without segments.
fn encoded(version: Version, stream: i16, frame: &RequestFrame) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(version).request(&mut out, stream, frame).unwrap();
    out
}

/// A response's bytes, without segments.
fn answered(version: Version, stream: i16, frame: &ResponseFrame) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(version).response(&mut out, stream, frame).unwrap();
    out
}

fn server() -> Decoder {
    Decoder::new(Direction::Requests, 1 << 20)
}

fn client() -> Decoder {
    Decoder::new(Direction::Responses, 1 << 20)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap())
        .collect()
}
