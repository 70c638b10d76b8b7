//! The values that are bound to a statement's markers.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use starling_client::CqlType;

use super::{
    random::{Random, mix},
    samples::Samples,
};

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The record's number, as the marker's type wants it: a number, `user17`, 16 bytes, a UUID.
    Record,
    /// A random number.
    Uniform,
    /// Random bytes or letters.
    Random,
    /// One of a list of texts or numbers.
    Choice,
    /// A column of the sample data, in the row that the record's number leads to.
    Column,
    /// A number that no other write of the run has, for a bigint; what `--verify` follows.
    Version,
    /// The version that the operation has read before: what a conditional write expects. Null if there was no row.
    Read,
}

/// A field in a workload file: `[fields.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where its value comes from.
    pub from: From,
    /// Of `record`: the number is divided by this first.
    pub divide: Option<u64>,
    /// Of `record`: then the rest of the division by this is taken.
    pub modulo: Option<u64>,
    /// Of `record`: then it is multiplied by this.
    pub multiply: Option<i64>,
    /// Of `record`: then this is added.
    pub add: Option<i64>,
    /// Of `record`: what text begins with; `user` unless given.
    pub prefix: Option<String>,
    /// Of `uniform`: the least number; 0 unless given.
    pub min: Option<i64>,
    /// Of `uniform`: the greatest number.
    pub max: Option<i64>,
    /// Of `random`: how many bytes; instead of `min_bytes` and `max_bytes`.
    pub bytes: Option<u32>,
    /// Of `random`: at least so many bytes.
    pub min_bytes: Option<u32>,
    /// Of `random`: at most so many bytes.
    pub max_bytes: Option<u32>,
    /// Of `random`: the share of the bytes that compresses to nothing, from 0 to 1; 0 unless given.
    pub compressible: Option<f64>,
    /// Of `choice`: the values.
    pub of: Option<Vec<Datum>>,
    /// Of `column`: its name.
    pub column: Option<String>,
}

/// What a statement's values are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject {
    /// The record's number.
    pub record: u64,
    /// The version that the statement writes, if it does.
    pub version: u64,
    /// The version that the operation has read before, if it has.
    pub read: Option<i64>,
}

/// The most bytes of a random value.
pub const MAX_BYTES: u32 = 1 << 20;

impl Field {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        if let Some((name, owner)) = self.foreign() {
            return Some(format!("'{name}' belongs to fields with from = \"{owner}\""));
        }
        let sizes = (self.bytes, self.min_bytes, self.max_bytes);
        match (self.from, sizes) {
            (From::Random, (Some(_), None, None) | (None, Some(_), Some(_))) => {}
            (From::Random, _) => {
                return Some("a random field has 'bytes', or 'min_bytes' and 'max_bytes'".into());
            }
            _ => {}
        }
        let (low, high) = self.sizes();
        if low > high || high > MAX_BYTES {
            return Some(format!(
                "'min_bytes' must be at most 'max_bytes', and those at most {MAX_BYTES}"
            ));
        }
        if self
            .compressible
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Some("'compressible' must be from 0 to 1".into());
        }
        if self.divide == Some(0) || self.modulo == Some(0) {
            return Some("'divide' and 'modulo' must not be 0".into());
        }
        match self.from {
            From::Uniform if self.max.is_none_or(|max| max < self.min.unwrap_or(0)) => {
                Some("a uniform field has 'max', and it is at least 'min'".into())
            }
            From::Choice if self.of.as_ref().is_none_or(Vec::is_empty) => {
                Some("a choice has values: of = [\"a\", \"b\"]".into())
            }
            From::Column if self.column.is_none() => Some("a column field has 'column', its name".into()),
            _ => None,
        }
    }

    /// A parameter that belongs to another kind of field.
    fn foreign(&self) -> Option<(&'static str, &'static str)> {
        let given = [
            (self.divide.is_some(), "divide", From::Record, "record"),
            (self.modulo.is_some(), "modulo", From::Record, "record"),
            (self.multiply.is_some(), "multiply", From::Record, "record"),
            (self.add.is_some(), "add", From::Record, "record"),
            (self.prefix.is_some(), "prefix", From::Record, "record"),
            (self.min.is_some(), "min", From::Uniform, "uniform"),
            (self.max.is_some(), "max", From::Uniform, "uniform"),
            (self.bytes.is_some(), "bytes", From::Random, "random"),
            (self.min_bytes.is_some(), "min_bytes", From::Random, "random"),
            (self.max_bytes.is_some(), "max_bytes", From::Random, "random"),
            (
                self.compressible.is_some(),
                "compressible",
                From::Random,
                "random",
            ),
            (self.of.is_some(), "of", From::Choice, "choice"),
            (self.column.is_some(), "column", From::Column, "column"),
        ];
        given
            .into_iter()
            .find(|(given, _, owner, _)| *given && *owner != self.from)
            .map(|(_, name, _, owner)| (name, owner))
    }

    fn sizes(&self) -> (u32, u32) {
        let fixed = self.bytes.unwrap_or(0);
        (self.min_bytes.unwrap_or(fixed), self.max_bytes.unwrap_or(fixed))
    }

    /// The value for a marker of a type.
    ///
    /// # Errors
    /// A sentence, if the type can't have such a value.
    pub fn value(
        &self,
        marker: &CqlType,
        subject: Subject,
        random: &mut Random,
        pools: &Pools,
    ) -> Result<Datum, String> {
        let datum = self.untyped(marker, subject, random, pools)?;
        Ok(match (marker, datum) {
            (CqlType::Double, Datum::Int(number)) => Datum::Double(number as f64),
            (CqlType::Float, Datum::Int(number)) => Datum::Float(number as f32),
            (_, datum) => datum,
        })
    }

    fn untyped(
        &self,
        marker: &CqlType,
        subject: Subject,
        random: &mut Random,
        pools: &Pools,
    ) -> Result<Datum, String> {
        match self.from {
            From::Record => Ok(self.of_record(marker, subject.record)),
            From::Version => Ok(Datum::Int(subject.version as i64)),
            From::Read => Ok(subject.read.map_or(Datum::Null, Datum::Int)),
            From::Uniform => {
                let min = self.min.unwrap_or(0);
                let span = self.max.unwrap_or(min).abs_diff(min).saturating_add(1);
                Ok(Datum::Int(min.wrapping_add_unsigned(random.below(span))))
            }
            From::Random => Ok(pools.random(self.sizes(), self.compressible.unwrap_or(0.0), marker, random)),
            From::Choice => {
                let of = self.of.as_deref().unwrap_or_default();
                Ok(of[random.below(of.len() as u64) as usize].clone())
            }
            From::Column => pools.sample(subject.record, self.column.as_deref().unwrap_or_default(), marker),
        }
    }

    fn of_record(&self, marker: &CqlType, record: u64) -> Datum {
        let number = record / self.divide.unwrap_or(1);
        let number = self.modulo.map_or(number, |modulo| number % modulo);
        match marker {
            CqlType::Text | CqlType::Ascii => {
                Datum::Text(format!("{}{number}", self.prefix.as_deref().unwrap_or("user")))
            }
            CqlType::Blob | CqlType::Uuid => {
                let mut bytes = Vec::with_capacity(16);
                bytes.extend_from_slice(&mix(number).to_be_bytes());
                bytes.extend_from_slice(&number.to_be_bytes());
                Datum::Bytes(bytes.into())
            }
            _ => {
                let number = (number as i64).wrapping_mul(self.multiply.unwrap_or(1));
                Datum::Int(number.wrapping_add(self.add.unwrap_or(0)))
            }
        }
    }
}

/// A value, before it is bound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Datum {
    /// A whole number: also milliseconds of a timestamp, days of a date.
    Int(i64),
    /// For double.
    #[serde(skip)]
    Double(f64),
    /// For float.
    #[serde(skip)]
    Float(f32),
    /// Text.
    Text(String),
    /// A blob, or a UUID's 16 bytes.
    #[serde(skip)]
    Bytes(Bytes),
    /// Null.
    #[serde(skip)]
    Null,
}

impl Datum {
    /// What it holds, in bytes: the payload that a user would count.
    pub fn payload(&self) -> u64 {
        match self {
            Self::Int(_) | Self::Double(_) => 8,
            Self::Float(_) => 4,
            Self::Text(text) => text.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Null => 0,
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Double(number) => serializer.serialize_f64(*number),
            Self::Float(number) => serializer.serialize_f32(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Null => serializer.serialize_none(),
        }
    }
}

/// What values are cut from.
#[derive(Debug, Clone)]
pub struct Pools {
    bytes: Bytes,
    letters: Arc<str>,
    samples: Option<Arc<Samples>>,
}

impl Pools {
    /// Pools of a seed.
    pub fn new(seed: u64, samples: Option<Arc<Samples>>) -> Self {
        let mut random = Random::new(seed);
        let size = 2 * MAX_BYTES as usize;
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            bytes.extend_from_slice(&random.bits().to_le_bytes());
        }
        let letters: String = bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        Self {
            bytes: bytes.into(),
            letters: letters.into(),
            samples,
        }
    }

    fn random(&self, sizes: (u32, u32), compressible: f64, marker: &CqlType, random: &mut Random) -> Datum {
        let size = sizes.0 as usize + random.below(u64::from(sizes.1 - sizes.0) + 1) as usize;
        let from = random.below((self.bytes.len() - size) as u64) as usize;
        let noise = size - (size as f64 * compressible) as usize;
        if matches!(marker, CqlType::Text | CqlType::Ascii) {
            let mut text = self.letters[from..from + noise].to_owned();
            text.extend(std::iter::repeat_n(' ', size - noise));
            return Datum::Text(text);
        }
        if noise == size {
            return Datum::Bytes(self.bytes.slice(from..from + size));
        }
        let mut bytes = self.bytes[from..from + noise].to_vec();
        bytes.resize(size, 0);
        Datum::Bytes(bytes.into())
    }

    fn sample(&self, record: u64, column: &str, marker: &CqlType) -> Result<Datum, String> {
        let samples = self
            .samples
            .as_ref()
            .ok_or("a column field needs 'data' in the workload")?;
        let Some(text) = samples.value(record, column)? else {
            return Ok(Datum::Null);
        };
        match marker {
            CqlType::Text | CqlType::Ascii => Ok(Datum::Text(text.to_owned())),
            _ => text.parse().map(Datum::Int).map_err(|_| {
                format!("'{text}' of the column '{column}' is no whole number, as {marker} wants one")
            }),
        }
    }
}
