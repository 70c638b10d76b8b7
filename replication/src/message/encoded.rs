//! A message's bytes in pieces, so that a mutation or a page of megabytes is not copied into its envelope.

use std::io;

use bytes::Bytes;
use serde::Serialize;

use super::VERSION;

/// Parts from this size on, in bytes, are shared rather than copied.
const SHARED_BYTES: usize = 16 << 10;

/// The bytes of a message: `head`, then the pieces of `rest` in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The beginning; for most messages, all.
    pub head: Bytes,
    /// What follows. No allocation while it is empty.
    pub rest: Vec<Bytes>,
}

impl Encoded {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same in one piece; copies if there are several.
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.head;
        }
        let mut all = Vec::with_capacity(self.len());
        all.extend_from_slice(&self.head);
        for piece in self.rest {
            all.extend_from_slice(&piece);
        }
        all.into()
    }
}

impl From<Bytes> for Encoded {
    fn from(head: Bytes) -> Self {
        Self {
            head,
            rest: Vec::new(),
        }
    }
}

/// Encodes a message of which `large` are parts. A part that is large indeed becomes a piece of its own.
pub(super) fn encode<T: Serialize>(message: &T, large: &[Bytes]) -> Encoded {
    let mut out = Pieces {
        current: Vec::with_capacity(256),
        done: Vec::new(),
        large,
    };
    out.current.extend_from_slice(&VERSION.to_be_bytes());
    // Writing to memory can't fail, and no message has a part of unknown length.
    rmp_serde::encode::write(&mut out, message).expect("a message can be encoded");
    out.finish()
}

/// Gathers what an encoder writes, and knows its large parts again by where they lie.
struct Pieces<'a> {
    current: Vec<u8>,
    done: Vec<Bytes>,
    large: &'a [Bytes],
}

impl Pieces<'_> {
    fn finish(mut self) -> Encoded {
        if self.done.is_empty() {
            return Bytes::from(self.current).into();
        }
        if !self.current.is_empty() {
            self.done.push(self.current.into());
        }
        let head = self.done.remove(0);
        Encoded {
            head,
            rest: self.done,
        }
    }
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shared = || {
            self.large
                .iter()
                .find(|part| part.as_ptr() == bytes.as_ptr() && part.len() == bytes.len())
        };
        match shared().filter(|_| bytes.len() >= SHARED_BYTES) {
            Some(part) => {
                self.done.push(std::mem::take(&mut self.current).into());
                self.done.push(part.clone());
            }
            None => self.current.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
