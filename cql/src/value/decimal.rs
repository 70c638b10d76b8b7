//! Arbitrary-precision decimals: an integer, and how many of its digits follow the point.

use std::fmt;

use num_bigint::{BigInt, Sign};

/// The most digits that are read from text.
pub(crate) const MAX_DIGITS: usize = 10_000;

/// A decimal, `unscaled * 10^-scale`. Its serialization is the scale (4 bytes), then the integer as a varint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// The digits.
    pub unscaled: BigInt,
    /// How many of them follow the point; negative: zeros before it.
    pub scale: i32,
}

impl Decimal {
    /// Reads `-12.50`, `1e-7`, `3`. `None` if it is no number, or has too many digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        let unscaled = parse_integer(&format!("{whole}{fraction}"))?;
        Some(Self {
            unscaled,
            scale: i32::try_from(scale).ok()?,
        })
    }

    /// The serialization.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.scale.to_be_bytes().to_vec();
        out.extend_from_slice(&self.unscaled.to_signed_bytes_be());
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (scale, unscaled) = bytes.split_first_chunk::<4>()?;
        if unscaled.is_empty() {
            return None;
        }
        Some(Self {
            unscaled: BigInt::from_signed_bytes_be(unscaled),
            scale: i32::from_be_bytes(*scale),
        })
    }

    /// The nearest 64-bit float.
    pub fn to_f64(&self) -> f64 {
        format!("{}e{}", self.unscaled, -i64::from(self.scale))
            .parse()
            .unwrap_or(f64::NAN)
    }
}

/// Reads an integer with at most [`MAX_DIGITS`] digits.
pub(crate) fn parse_integer(text: &str) -> Option<BigInt> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let fits = (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Decimal {
    /// Plain where that is short, else with an exponent: `12.50`, `1.5E+40`, `3E-9`. The scale survives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.unscaled.magnitude().to_string();
        let sign = if self.unscaled.sign() == Sign::Minus {
            "-"
        } else {
            ""
        };
        let exponent = digits.len() as i64 - 1 - i64::from(self.scale);
        if self.scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        if self.scale > 0 && exponent >= -6 {
            let scale = self.scale as usize;
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            return write!(f, "{sign}{whole}.{fraction}");
        }
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{sign}{first}{point}{rest}E{exponent:+}")
    }
}
