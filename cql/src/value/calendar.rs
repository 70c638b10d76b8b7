//! Dates, times of day and timestamps as text (CQL 3.4, "Working with timestamps", "dates", "time").
//!
//! The calendar is the proleptic Gregorian one. The arithmetic counts years from March, so that the leap
//! day is a year's last (Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).

const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_SHIFT: i64 = 719_468;
const MILLIS_PER_DAY: i64 = 86_400_000;
/// Nanoseconds of a day.
pub(crate) const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Days since 1970-01-01 of a date. `month` is from 1 to 12; days past a month's end count on.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - EPOCH_SHIFT
}

/// Year, month and day of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_SHIFT;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day = shifted.rem_euclid(DAYS_PER_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

/// `2013-01-31`; the raw day number (2^31 is 1970-01-01) for years of other than four digits.
pub fn format_date(raw: u32) -> String {
    let (year, month, day) = civil_from_days(i64::from(raw) - (1 << 31));
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        raw.to_string()
    }
}

/// `05:15:00.000000000`; the raw number if it is no time of day.
pub fn format_time(nanos: i64) -> String {
    if !(0..NANOS_PER_DAY).contains(&nanos) {
        return nanos.to_string();
    }
    let seconds = nanos / 1_000_000_000;
    format!(
        "{:02}:{:02}:{:02}.{:09}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        nanos % 1_000_000_000
    )
}

/// `2013-01-31 05:15:00.000+0000`; the raw milliseconds for years of other than four digits.
pub fn format_timestamp(millis: i64) -> String {
    let (year, month, day) = civil_from_days(millis.div_euclid(MILLIS_PER_DAY));
    if !(0..=9999).contains(&year) {
        return millis.to_string();
    }
    let rest = millis.rem_euclid(MILLIS_PER_DAY);
    let seconds = rest / 1000;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}+0000",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        rest % 1000
    )
}

/// A date: `yyyy-mm-dd`, or the raw day number.
pub(super) fn parse_date(text: &str) -> Option<u32> {
    if let Ok(raw) = text.parse::<u32>() {
        return Some(raw);
    }
    u32::try_from(parse_days(text)? + (1 << 31)).ok()
}

/// Days since 1970-01-01 of `yyyy-mm-dd`, perhaps with a sign.
fn parse_days(text: &str) -> Option<i64> {
    let (sign, body) = text.strip_prefix('-').map_or((1, text), |body| (-1, body));
    let mut parts = body.splitn(3, '-');
    let year = sign * number(parts.next()?, 4, 7)?;
    let month = number(parts.next()?, 1, 2)?;
    let day = number(parts.next()?, 1, 2)?;
    let days = days_from_civil(year, month.clamp(1, 12), day);
    // A day that does not exist comes back as another one.
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Digits only, within a count.
fn number(text: &str, least: usize, most: usize) -> Option<i64> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// A time of day in nanoseconds: `hh:mm:ss[.fffffffff]`, or the raw number.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let nanos = match text.parse::<i64>() {
        Ok(raw) => raw,
        Err(_) => clock(text, true)?,
    };
    (0..NANOS_PER_DAY).contains(&nanos).then_some(nanos)
}

/// `hh:mm[:ss[.f]]` in nanoseconds.
fn clock(text: &str, with_seconds: bool) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = number(parts.next()?, 1, 2).filter(|hours| *hours < 24)?;
    let minutes = number(parts.next()?, 1, 2).filter(|minutes| *minutes < 60)?;
    let (seconds, nanos) = match parts.next() {
        None if with_seconds => return None,
        None => (0, 0),
        Some(part) => {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, "0"));
            let digits = number(fraction, 1, 9)?;
            let nanos = digits * 10_i64.pow(9 - fraction.len() as u32);
            (number(whole, 1, 2).filter(|seconds| *seconds < 60)?, nanos)
        }
    };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos)
}

/// A timestamp in milliseconds: the raw number, or a date with perhaps a time (after a blank or `T`) and
/// a zone (`Z`, `UTC`, `GMT`, `+hh`, `+hhmm`, `+hh:mm`). Without a zone it is UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(raw) = text.parse::<i64>() {
        return Some(raw);
    }
    let (body, zone_minutes) = split_zone(text)?;
    let body = body.trim_end();
    let (date, time) = match body.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, clock(time.trim_start(), false)?),
        None => (body, 0),
    };
    let millis = parse_days(date)? * MILLIS_PER_DAY + time / 1_000_000;
    Some(millis - zone_minutes * 60_000)
}

/// Splits off a zone, in minutes east of UTC.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    for name in ["Z", "z", "UTC", "GMT"] {
        if let Some(body) = text.strip_suffix(name) {
            return Some((body, 0));
        }
    }
    // A sign after the date part (10 characters at least) begins a zone.
    let Some(at) = text.rfind(['+', '-']).filter(|at| *at >= 10) else {
        return Some((text, 0));
    };
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    let digits = text[at + 1..].replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2, 2)?, 0),
        4 => (number(&digits[..2], 2, 2)?, number(&digits[2..], 2, 2)?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then(|| (&text[..at], sign * (hours * 60 + minutes)))
}
