//! CAST (CQL 3.4, "Cast"): between numbers, between times, and from anything to text.

use num_bigint::BigInt;

use crate::{
    error::Error,
    types::CqlType,
    value::{self, Decimal, FormatOptions},
};

fn is_number(cql_type: &CqlType) -> bool {
    is_integer(cql_type) || matches!(cql_type, CqlType::Float | CqlType::Double | CqlType::Decimal)
}

fn is_integer(cql_type: &CqlType) -> bool {
    matches!(
        cql_type,
        CqlType::Tinyint
            | CqlType::Smallint
            | CqlType::Int
            | CqlType::Bigint
            | CqlType::Varint
            | CqlType::Counter
    )
}

/// Whether there is such a conversion.
pub(in crate::plan) fn can_cast(from: &CqlType, to: &CqlType) -> bool {
    from == to
        || (matches!(to, CqlType::Text | CqlType::Ascii) && !from.is_collection() && *from != CqlType::Blob)
        || (is_number(from) && is_number(to) && *to != CqlType::Counter)
        || matches!(
            (from, to),
            (CqlType::Timeuuid, CqlType::Timestamp | CqlType::Date)
                | (CqlType::Timestamp, CqlType::Date)
                | (CqlType::Date, CqlType::Timestamp)
        )
}

/// Converts a value; an empty one becomes null.
pub(super) fn convert(from: &CqlType, to: &CqlType, value: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    if from == to {
        return Ok(Some(value.to_vec()));
    }
    if value.is_empty() && !matches!(from, CqlType::Text | CqlType::Ascii) {
        return Ok(None);
    }
    if matches!(to, CqlType::Text | CqlType::Ascii) {
        return Ok(Some(
            value::format(from, value, FormatOptions::default()).into_bytes(),
        ));
    }
    let converted = if is_number(from) {
        number(from, to, value)
    } else {
        time(from, to, value)
    };
    converted.map(Some).ok_or_else(|| {
        Error::invalid(format!(
            "a {from} value is out of the range of {to}, to which it should be cast"
        ))
    })
}

const MILLIS_PER_DAY: i64 = 86_400_000;

fn time(from: &CqlType, to: &CqlType, value: &[u8]) -> Option<Vec<u8>> {
    let millis = match from {
        CqlType::Timeuuid => {
            value::timeuuid_micros(u128::from_be_bytes(value.try_into().ok()?))?.div_euclid(1000)
        }
        CqlType::Timestamp => value::long(value)?,
        CqlType::Date => (i64::from(value::int(value)? as u32) - (1 << 31)) * MILLIS_PER_DAY,
        _ => return None,
    };
    match to {
        CqlType::Timestamp => Some(millis.to_be_bytes().to_vec()),
        CqlType::Date => {
            let day = u32::try_from(millis.div_euclid(MILLIS_PER_DAY) + (1 << 31)).ok()?;
            Some(day.to_be_bytes().to_vec())
        }
        _ => None,
    }
}

fn number(from: &CqlType, to: &CqlType, value: &[u8]) -> Option<Vec<u8>> {
    match from {
        CqlType::Float => from_float(f64::from(f32::from_be_bytes(value.try_into().ok()?)), to),
        CqlType::Double => from_float(f64::from_be_bytes(value.try_into().ok()?), to),
        CqlType::Decimal => {
            let decimal = Decimal::decode(value)?;
            match to {
                CqlType::Float => Some((decimal.to_f64() as f32).to_be_bytes().to_vec()),
                CqlType::Double => Some(decimal.to_f64().to_be_bytes().to_vec()),
                _ => from_integer(&truncated(&decimal)?, to),
            }
        }
        _ => from_integer(&BigInt::from_signed_bytes_be(value), to),
    }
}

/// The integer part. `None` if it would have too many digits.
fn truncated(decimal: &Decimal) -> Option<BigInt> {
    let power = decimal.scale.unsigned_abs();
    if decimal.scale > 0 {
        // More digits after the point than there are leaves nothing before it.
        let digits = decimal.unscaled.magnitude().bits() / 3 + 1;
        return Some(if u64::from(power) > digits {
            BigInt::from(0)
        } else {
            &decimal.unscaled / BigInt::from(10).pow(power)
        });
    }
    (power <= 10_000).then(|| &decimal.unscaled * BigInt::from(10).pow(power))
}

fn from_float(number: f64, to: &CqlType) -> Option<Vec<u8>> {
    Some(match to {
        CqlType::Float => (number as f32).to_be_bytes().to_vec(),
        CqlType::Double => number.to_be_bytes().to_vec(),
        CqlType::Decimal => Decimal::parse(&number.to_string())?.encode(),
        // As Java converts: towards zero, to the nearest bound, NaN to 0.
        CqlType::Tinyint => (number as i32 as i8).to_be_bytes().to_vec(),
        CqlType::Smallint => (number as i32 as i16).to_be_bytes().to_vec(),
        CqlType::Int => (number as i32).to_be_bytes().to_vec(),
        CqlType::Bigint => (number as i64).to_be_bytes().to_vec(),
        CqlType::Varint => truncated(&Decimal::parse(&format!("{number}"))?)?.to_signed_bytes_be(),
        _ => return None,
    })
}

fn from_integer(number: &BigInt, to: &CqlType) -> Option<Vec<u8>> {
    // The low bytes, as Java narrows.
    let low = {
        let bytes = number.to_signed_bytes_le();
        let fill = if number.sign() == num_bigint::Sign::Minus {
            0xFF
        } else {
            0
        };
        let mut low = [fill; 8];
        for (place, byte) in low.iter_mut().zip(bytes) {
            *place = byte;
        }
        i64::from_le_bytes(low)
    };
    Some(match to {
        CqlType::Tinyint => (low as i8).to_be_bytes().to_vec(),
        CqlType::Smallint => (low as i16).to_be_bytes().to_vec(),
        CqlType::Int => (low as i32).to_be_bytes().to_vec(),
        CqlType::Bigint => low.to_be_bytes().to_vec(),
        CqlType::Varint => number.to_signed_bytes_be(),
        CqlType::Float => number.to_string().parse::<f32>().ok()?.to_be_bytes().to_vec(),
        CqlType::Double => number.to_string().parse::<f64>().ok()?.to_be_bytes().to_vec(),
        CqlType::Decimal => Decimal {
            unscaled: number.clone(),
            scale: 0,
        }
        .encode(),
        _ => return None,
    })
}
