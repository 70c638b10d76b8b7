//! Durations: months, days and nanoseconds.

use std::fmt::{self, Write};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MINUTE: i64 = 60 * NANOS_PER_SECOND;
const NANOS_PER_HOUR: i64 = 60 * NANOS_PER_MINUTE;

/// A duration (CQL 3.4, "Working with durations"). All three parts have the same sign.
///
/// Its serialization is three variable-length integers, as the native protocol has them ("duration").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Duration {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl Duration {
    /// A duration; `None` if its parts have different signs.
    pub fn new(months: i32, days: i32, nanoseconds: i64) -> Option<Self> {
        let signs = [i64::from(months), i64::from(days), nanoseconds];
        let mixed = signs.iter().any(|part| *part < 0) && signs.iter().any(|part| *part > 0);
        (!mixed).then_some(Self {
            months,
            days,
            nanoseconds,
        })
    }

    /// Reads `1y2mo3w4d5h6m7s8ms9us10ns`, `P1Y2M3DT4H5M6S`, `P3W`, or `P0001-02-03T04:05:06`, each
    /// perhaps with a `-` before it. Units come in this order, each at most once.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, body) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let parts = match body.strip_prefix(['P', 'p']) {
            Some(iso) if iso.contains('-') => parse_alternative(iso),
            Some(iso) => parse_iso(iso),
            None => parse_units(body, &STANDARD),
        }?;
        let sign = if negative { -1 } else { 1 };
        let [months, days, nanoseconds] = parts.map(|part| part * sign);
        Some(Self {
            months: i32::try_from(months).ok()?,
            days: i32::try_from(days).ok()?,
            nanoseconds: i64::try_from(nanoseconds).ok()?,
        })
    }

    /// The duration with its sign turned; `None` if that does not fit.
    pub fn negated(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            nanoseconds: self.nanoseconds.checked_neg()?,
        })
    }

    /// The serialization.
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8);
        for part in [i64::from(self.months), i64::from(self.days), self.nanoseconds] {
            put_vint(&mut out, part);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing after it.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let months = take_vint(&mut bytes)?;
        let days = take_vint(&mut bytes)?;
        let nanoseconds = take_vint(&mut bytes)?;
        if !bytes.is_empty() {
            return None;
        }
        Self::new(
            i32::try_from(months).ok()?,
            i32::try_from(days).ok()?,
            nanoseconds,
        )
    }
}

impl fmt::Display for Duration {
    /// As Cassandra prints it: `1y2mo3d4h5m6s7ms8us9ns`; `0s` if all parts are zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("0s");
        }
        if self.months < 0 || self.days < 0 || self.nanoseconds < 0 {
            f.write_char('-')?;
        }
        let mut rest = u64::from(self.months.unsigned_abs());
        for (size, unit) in [(12, "y"), (1, "mo")] {
            rest = write_part(f, rest, size, unit)?;
        }
        write_part(f, u64::from(self.days.unsigned_abs()), 1, "d")?;
        let mut rest = self.nanoseconds.unsigned_abs();
        let units = [
            (NANOS_PER_HOUR, "h"),
            (NANOS_PER_MINUTE, "m"),
            (NANOS_PER_SECOND, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        for (size, unit) in units {
            rest = write_part(f, rest, size as u64, unit)?;
        }
        Ok(())
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, rest: u64, size: u64, unit: &str) -> Result<u64, fmt::Error> {
    if rest >= size {
        write!(f, "{}{unit}", rest / size)?;
    }
    Ok(rest % size)
}

/// A unit: its names, which part it counts to (months, days, nanoseconds), and how much.
type Unit = (&'static [&'static str], usize, i64);

const STANDARD: [Unit; 10] = [
    (&["y"], 0, 12),
    (&["mo"], 0, 1),
    (&["w"], 1, 7),
    (&["d"], 1, 1),
    (&["h"], 2, NANOS_PER_HOUR),
    (&["m"], 2, NANOS_PER_MINUTE),
    (&["s"], 2, NANOS_PER_SECOND),
    (&["ms"], 2, 1_000_000),
    (&["us", "µs", "μs"], 2, 1_000),
    (&["ns"], 2, 1),
];

const ISO_DATE: [Unit; 4] = [(&["y"], 0, 12), (&["m"], 0, 1), (&["w"], 1, 7), (&["d"], 1, 1)];

const ISO_TIME: [Unit; 3] = [
    (&["h"], 2, NANOS_PER_HOUR),
    (&["m"], 2, NANOS_PER_MINUTE),
    (&["s"], 2, NANOS_PER_SECOND),
];

/// Reads numbers with units, the units in the given order. At least one.
fn parse_units(text: &str, units: &[Unit]) -> Option<[i128; 3]> {
    let mut parts = [0_i128; 3];
    let mut rest = text;
    let mut units = units.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // Nineteen digits hold every number that can fit.
        let number: i128 = (1..=19)
            .contains(&digits)
            .then(|| rest[..digits].parse().ok())??;
        rest = &rest[digits..];
        let name_end = rest
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(rest.len());
        let name = rest[..name_end].to_lowercase();
        let (_, part, size) = units.find(|(names, _, _)| names.contains(&name.as_str()))?;
        parts[*part] += number * i128::from(*size);
        rest = &rest[name_end..];
    }
    (!text.is_empty()).then_some(parts)
}

fn parse_iso(text: &str) -> Option<[i128; 3]> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = [0; 3];
    if !date.is_empty() {
        parts = parse_units(date, &ISO_DATE)?;
    } else if time.is_none() {
        return None;
    }
    if let Some(time) = time {
        parts[2] = parse_units(time, &ISO_TIME)?[2];
    }
    Some(parts)
}

/// `YYYY-MM-DDTHH:MM:SS`.
fn parse_alternative(text: &str) -> Option<[i128; 3]> {
    let shape = text.len() == 19
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T' || byte == b't',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i128>().ok();
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    Some([
        number(0, 4)? * 12 + number(5, 7)?,
        number(8, 10)?,
        seconds * i128::from(NANOS_PER_SECOND),
    ])
}

/// Writes a zigzag number with its length in the leading one bits of the first byte (protocol v5,
/// section 3, `[vint]`).
fn put_vint(out: &mut Vec<u8>, number: i64) {
    let zigzag = ((number << 1) ^ (number >> 63)) as u64;
    let bits = 64 - zigzag.leading_zeros().min(63);
    // Each extra byte gives 7 bits: 1 byte holds 7, 8 bytes 56, 9 bytes all 64.
    let extra = ((bits - 1) / 7).min(8) as usize;
    let bytes = zigzag.to_be_bytes();
    if extra == 8 {
        out.push(0xFF);
        out.extend_from_slice(&bytes);
        return;
    }
    let mark = !(0xFF_u8 >> extra);
    let tail = &bytes[7 - extra..];
    out.push(mark | tail[0]);
    out.extend_from_slice(&tail[1..]);
}

fn take_vint(input: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = input.split_first()?;
    let extra = first.leading_ones() as usize;
    let tail = rest.get(..extra)?;
    let mut number = if extra >= 8 {
        0
    } else {
        u64::from(first & (0xFF >> extra))
    };
    for byte in tail {
        number = (number << 8) | u64::from(*byte);
    }
    *input = &rest[extra..];
    Some(((number >> 1) as i64) ^ -((number & 1) as i64))
}
