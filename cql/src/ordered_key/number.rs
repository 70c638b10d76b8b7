//! Numbers of any length, and floats.

use num_bigint::{BigInt, BigUint, Sign};
use starling_model::ordered::{self, Malformed};

use crate::value::Decimal;

/// A float's bytes, with every NaN made the same positive one.
pub(super) fn one_nan(value: &[u8]) -> Option<Vec<u8>> {
    if let Ok(bytes) = <[u8; 4]>::try_from(value) {
        let number = f32::from_be_bytes(bytes);
        return Some(if number.is_nan() {
            0x7FC0_0000_u32.to_be_bytes().to_vec()
        } else {
            bytes.to_vec()
        });
    }
    let bytes: [u8; 8] = value.try_into().ok()?;
    let number = f64::from_be_bytes(bytes);
    Some(if number.is_nan() {
        0x7FF8_0000_0000_0000_u64.to_be_bytes().to_vec()
    } else {
        bytes.to_vec()
    })
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: &[u8]) {
    let shortest = BigInt::from_signed_bytes_be(value).to_signed_bytes_be();
    let negative = shortest.first().is_some_and(|first| first & 0x80 != 0);
    let length = shortest.len() as u32;
    out.push(u8::from(!negative));
    out.extend_from_slice(&if negative { !length } else { length }.to_be_bytes());
    out.extend_from_slice(&shortest);
}

pub(super) fn take_varint(input: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let head = super::take(input, 5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    super::take(input, if head[0] == 0 { !length } else { length } as usize)
}

const NEGATIVE: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE: u8 = 3;

/// A decimal as `0.d1d2d3... * 10^exponent`, without zeros at its end. `None` if the bytes are malformed
/// or the exponent does not fit.
pub(super) fn put_decimal(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let decimal = Decimal::decode(value)?;
    let sign = match decimal.unscaled.sign() {
        Sign::NoSign => {
            out.push(ZERO);
            return Some(());
        }
        Sign::Minus => NEGATIVE,
        Sign::Plus => POSITIVE,
    };
    let digits = decimal.unscaled.magnitude().to_string();
    let exponent = digits.len() as i64 - i64::from(decimal.scale);
    let digits = digits.trim_end_matches('0').as_bytes();
    i32::try_from(digits.len() as i64 - exponent).ok()?;
    out.push(sign);
    let start = out.len();
    out.extend_from_slice(&exponent.to_be_bytes());
    ordered::flip_sign(&mut out[start..]);
    for pair in digits.chunks(2) {
        let second = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((pair[0] - b'0') * 10 + second + 1);
    }
    out.push(0);
    if sign == NEGATIVE {
        ordered::invert(&mut out[start..]);
    }
    Some(())
}

/// Numbers with at most this many digits before the point come back without an exponent.
const PLAIN_DIGITS: i64 = 40;

pub(super) fn take_decimal(input: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let sign = super::take(input, 1)?[0];
    if sign == ZERO {
        return Ok(Decimal {
            unscaled: BigInt::from(0),
            scale: 0,
        }
        .encode());
    }
    let inverted = sign == NEGATIVE;
    if !inverted && sign != POSITIVE {
        return Err(Malformed);
    }
    let plain = |byte: u8| if inverted { !byte } else { byte };
    let mut exponent: Vec<u8> = super::take(input, 8)?.into_iter().map(plain).collect();
    ordered::flip_sign(&mut exponent);
    let exponent = i64::from_be_bytes(exponent.try_into().map_err(|_| Malformed)?);
    let end = input.iter().position(|byte| plain(*byte) == 0).ok_or(Malformed)?;
    let mut digits = Vec::with_capacity(end * 2);
    for byte in super::take(input, end)? {
        let pair = plain(byte)
            .checked_sub(1)
            .filter(|pair| *pair < 100)
            .ok_or(Malformed)?;
        digits.extend([pair / 10, pair % 10]);
    }
    super::take(input, 1)?;
    if digits.last() == Some(&0) {
        digits.pop();
    }
    let mut length = digits.len() as i64;
    if exponent > length && exponent <= PLAIN_DIGITS {
        digits.resize(exponent as usize, 0);
        length = exponent;
    }
    let magnitude = BigUint::from_radix_be(&digits, 10).ok_or(Malformed)?;
    let sign = if inverted { Sign::Minus } else { Sign::Plus };
    let scale = i32::try_from(length.checked_sub(exponent).ok_or(Malformed)?).map_err(|_| Malformed)?;
    Ok(Decimal {
        unscaled: BigInt::from_biguint(sign, magnitude),
        scale,
    }
    .encode())
}
