//! What lies whole in a segment, of whatever version.

use bytes::Bytes;

use super::{
    Lsn,
    entries::Bodies,
    group::{self, Place},
    record,
    segment::{Header, SALTED_VERSION},
};
use crate::Error;

/// How what lies in a segment is told from what does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Records of version 2, by the segment's number.
    Records(u64),
    /// Groups of version 3, by the segment's number.
    Groups(u64),
    /// Groups, by the segment's number and its salt.
    Salted(Place),
}

/// A whole group of a segment, or a record of one that is older.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    /// The number of its first write.
    pub(super) first: Lsn,
    /// A write that was durable when it was written, and with it all before.
    pub(super) synced: Lsn,
    content: Bytes,
    header: usize,
    /// Whether it is a record, which holds one write.
    single: bool,
}

impl Format {
    pub(super) fn of(header: &Header) -> Self {
        match header.version {
            0..=2 => Self::Records(header.number),
            3 => Self::Groups(header.number),
            SALTED_VERSION.. => Self::Salted(Place::of(header.number, header.salt)),
        }
    }

    /// Whether nothing that a client wrote can look like it.
    pub(super) fn is_salted(self) -> bool {
        matches!(self, Self::Salted(_))
    }

    /// What lies at a place; `None` if it is not whole.
    pub(super) fn take(self, bytes: &Bytes, at: usize) -> Option<Whole> {
        let input = bytes.get(at..)?;
        let (first, synced, content) = match self {
            Self::Records(segment) => {
                let (claim, content) = record::take_record(input, segment)?;
                (claim.first, claim.synced, content)
            }
            Self::Groups(segment) => {
                let (claim, content) = record::take_group(input, segment)?;
                (claim.first, claim.synced, content)
            }
            Self::Salted(place) => {
                let group = group::take(input, place)?;
                (group.first, group.synced, group.content)
            }
        };
        Some(Whole {
            first,
            synced,
            content: bytes.slice_ref(content),
            header: self.header_bytes(),
            single: matches!(self, Self::Records(_)),
        })
    }

    /// Bytes before the content of what lies in the segment.
    pub(super) fn header_bytes(self) -> usize {
        if self.is_salted() {
            group::HEADER_BYTES
        } else {
            record::HEADER_BYTES
        }
    }
}

impl Whole {
    /// Bytes of it in the segment.
    pub(super) fn len(&self) -> usize {
        self.header + self.content.len()
    }

    /// Gives each write to `visit`, put together in `body`; returns the number that follows them, or `None` if they can't
    /// be read.
    pub(super) fn each(
        &self,
        body: &mut Vec<u8>,
        mut visit: impl FnMut(Lsn, &[u8]) -> Result<(), Error>,
    ) -> Result<Option<Lsn>, Error> {
        if self.single {
            visit(self.first, &self.content)?;
            return Ok(Some(self.first.next()));
        }
        let mut lsn = self.first;
        let mut bodies = Bodies::new(&self.content);
        loop {
            match bodies.next() {
                Ok(Some(parts)) => {
                    body.clear();
                    for part in parts {
                        body.extend_from_slice(part);
                    }
                    visit(lsn, body)?;
                }
                Ok(None) => return Ok(Some(lsn)),
                Err(_) => return Ok(None),
            }
            lsn = lsn.next();
        }
    }
}
