//! The types of CQL.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How deep collections can nest in a type.
pub const MAX_TYPE_DEPTH: usize = 16;

/// A type of CQL (CQL 3.4, "Data types").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CqlType {
    /// US-ASCII text.
    Ascii,
    /// 64-bit signed integer.
    Bigint,
    /// Any bytes.
    Blob,
    /// True or false.
    Boolean,
    /// A counter column: 64-bit signed, changed by increments.
    Counter,
    /// Days, centred on 2^31 = 1970-01-01, unsigned 32-bit.
    Date,
    /// Arbitrary-precision decimal: 32-bit scale, then a varint.
    Decimal,
    /// IEEE 754 64-bit.
    Double,
    /// Months, days and nanoseconds, as three zigzag vints. Has no order.
    Duration,
    /// IEEE 754 32-bit.
    Float,
    /// IPv4 or IPv6 address: 4 or 16 bytes.
    Inet,
    /// 32-bit signed integer.
    Int,
    /// 16-bit signed integer.
    Smallint,
    /// UTF-8 text; `varchar` is the same type.
    Text,
    /// Nanoseconds since midnight, 64-bit.
    Time,
    /// Milliseconds since the Unix epoch, 64-bit signed.
    Timestamp,
    /// UUID of version 1; orders by time.
    Timeuuid,
    /// 8-bit signed integer.
    Tinyint,
    /// UUID of any version.
    Uuid,
    /// Arbitrary-precision integer: two's complement, big-endian, shortest form.
    Varint,
    /// `list<element>`.
    List {
        /// Of what.
        element: Box<CqlType>,
        /// Stored as one value rather than element by element.
        frozen: bool,
    },
    /// `set<element>`.
    Set {
        /// Of what.
        element: Box<CqlType>,
        /// Stored as one value rather than element by element.
        frozen: bool,
    },
    /// `map<key, value>`.
    Map {
        /// From what.
        key: Box<CqlType>,
        /// To what.
        value: Box<CqlType>,
        /// Stored as one value rather than element by element.
        frozen: bool,
    },
}

impl CqlType {
    /// Whether the column is stored element by element.
    pub fn is_multi_cell(&self) -> bool {
        matches!(
            self,
            Self::List { frozen: false, .. }
                | Self::Set { frozen: false, .. }
                | Self::Map { frozen: false, .. }
        )
    }

    /// How deep collections nest in it: 0 for a scalar.
    pub fn depth(&self) -> usize {
        match self {
            Self::List { element, .. } | Self::Set { element, .. } => 1 + element.depth(),
            Self::Map { key, value, .. } => 1 + key.depth().max(value.depth()),
            _ => 0,
        }
    }

    /// Whether it, or a type in it, is a certain one.
    pub fn contains(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::List { element, .. } | Self::Set { element, .. } => element.contains(is),
                Self::Map { key, value, .. } => key.contains(is) || value.contains(is),
                _ => false,
            }
    }

    /// Whether a column of the primary key can have it: it has an order and one value.
    pub fn can_be_key(&self) -> bool {
        !self.is_multi_cell() && self.has_order()
    }

    /// Whether its values have an order: neither it nor what it is made of is a duration or a counter.
    pub fn has_order(&self) -> bool {
        match self {
            Self::Duration | Self::Counter => false,
            Self::List { element, .. } | Self::Set { element, .. } => element.has_order(),
            Self::Map { key, value, .. } => key.has_order() && value.has_order(),
            _ => true,
        }
    }

    /// The type with itself and all that is in it frozen.
    #[must_use]
    pub fn freeze(self) -> Self {
        match self {
            Self::List { element, .. } => Self::List {
                element: Box::new(element.freeze()),
                frozen: true,
            },
            Self::Set { element, .. } => Self::Set {
                element: Box::new(element.freeze()),
                frozen: true,
            },
            Self::Map { key, value, .. } => Self::Map {
                key: Box::new(key.freeze()),
                value: Box::new(value.freeze()),
                frozen: true,
            },
            scalar => scalar,
        }
    }

    /// Whether it is a collection, frozen or not.
    pub fn is_collection(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Set { .. } | Self::Map { .. })
    }
}

impl fmt::Display for CqlType {
    /// As CQL writes it: `frozen<map<text, int>>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ascii => "ascii",
            Self::Bigint => "bigint",
            Self::Blob => "blob",
            Self::Boolean => "boolean",
            Self::Counter => "counter",
            Self::Date => "date",
            Self::Decimal => "decimal",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Float => "float",
            Self::Inet => "inet",
            Self::Int => "int",
            Self::Smallint => "smallint",
            Self::Text => "text",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timeuuid => "timeuuid",
            Self::Tinyint => "tinyint",
            Self::Uuid => "uuid",
            Self::Varint => "varint",
            Self::List { element, frozen } => {
                return wrap(f, *frozen, format_args!("list<{element}>"));
            }
            Self::Set { element, frozen } => return wrap(f, *frozen, format_args!("set<{element}>")),
            Self::Map { key, value, frozen } => {
                return wrap(f, *frozen, format_args!("map<{key}, {value}>"));
            }
        };
        f.write_str(name)
    }
}

fn wrap(f: &mut fmt::Formatter<'_>, frozen: bool, inner: fmt::Arguments<'_>) -> fmt::Result {
    if frozen {
        write!(f, "frozen<{inner}>")
    } else {
        f.write_fmt(inner)
    }
}
