//! A clustering as the key of a map: short ones lie in the map's own nodes.

use std::{borrow::Borrow, cmp::Ordering, fmt};

const INLINE: usize = 22;

/// An owned clustering, ordered by its bytes.
#[derive(Clone)]
pub(super) enum RowKey {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Box<[u8]>),
}

impl RowKey {
    pub(super) fn new(clustering: &[u8]) -> Self {
        if clustering.len() > INLINE {
            return Self::Long(clustering.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..clustering.len()].copy_from_slice(clustering);
        Self::Short {
            len: clustering.len() as u8,
            bytes,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }

    /// Bytes held outside of the key itself.
    pub(super) fn outside(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(bytes) => bytes.len(),
        }
    }
}

impl Borrow<[u8]> for RowKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for RowKey {}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}
