//! Frames to and from bytes.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use starling_cql::native::{self, HEADER_BYTES, MAX_FRAME_BYTES};

use crate::error::{Error, Outcome};

/// A frame with its header.
pub(super) fn encode(id: u64, message: &impl Serialize) -> Result<Bytes, Error> {
    let mut frame = Vec::new();
    native::encode_frame(id, message, &mut frame)?;
    Ok(frame.into())
}

/// Takes the next whole frame off the front of what was received: its id and its value.
pub(super) fn take(received: &mut BytesMut) -> Result<Option<(u64, Bytes)>, Error> {
    let Some(header) = received.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let (length, id) = native::decode_header(*header);
    if length > MAX_FRAME_BYTES {
        return Err(Error::unknown(
            crate::ErrorKind::Protocol,
            format!("the node announced a frame of {length} bytes, more than the {MAX_FRAME_BYTES} allowed"),
        ));
    }
    if received.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    received.advance(HEADER_BYTES);
    Ok(Some((id, received.split_to(length).freeze())))
}

/// The message in a frame's value.
pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    native::decode(value).map_err(|error| Error::from(error).with_outcome(Outcome::Unknown))
}
