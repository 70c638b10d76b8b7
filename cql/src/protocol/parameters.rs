//! `<query_parameters>` (v5 section 4.1.4) and the tail of BATCH (section 4.1.7).

use starling_model::Timestamp;

use super::{malformed::Malformed, reader::Reader, version::Version, writer::Writer};
use crate::request::{Bound, QueryParameters, Values};

const VALUES: u32 = 0x0001;
const SKIP_METADATA: u32 = 0x0002;
const PAGE_SIZE: u32 = 0x0004;
const PAGING_STATE: u32 = 0x0008;
const SERIAL_CONSISTENCY: u32 = 0x0010;
const DEFAULT_TIMESTAMP: u32 = 0x0020;
const NAMED_VALUES: u32 = 0x0040;
/// v5.
const KEYSPACE: u32 = 0x0080;
/// v5.
const NOW_IN_SECONDS: u32 = 0x0100;

const BATCH_FLAGS: u32 = SERIAL_CONSISTENCY | DEFAULT_TIMESTAMP | KEYSPACE | NOW_IN_SECONDS;
const V4_FLAGS: u32 = 0x007F;
const V5_FLAGS: u32 = 0x01FF;

/// Reads the parameters of QUERY and EXECUTE.
pub(super) fn read(input: &mut Reader, version: Version) -> Result<QueryParameters, Malformed> {
    let mut parameters = QueryParameters::with_consistency(input.consistency()?);
    let flags = read_flags(input, version)?;
    if flags & VALUES != 0 {
        parameters.values = read_values(input, flags & NAMED_VALUES != 0)?;
    }
    parameters.skip_metadata = flags & SKIP_METADATA != 0;
    if flags & PAGE_SIZE != 0 {
        // Zero and less mean "no paging", as they always did.
        parameters.page_size = u32::try_from(input.int()?).ok().filter(|&size| size > 0);
    }
    if flags & PAGING_STATE != 0 {
        parameters.paging_state = input.bytes()?;
    }
    read_tail(input, flags, &mut parameters)?;
    Ok(parameters)
}

/// Reads the level and the options that follow the entries of a BATCH.
pub(super) fn read_batch(input: &mut Reader, version: Version) -> Result<QueryParameters, Malformed> {
    let mut parameters = QueryParameters::with_consistency(input.consistency()?);
    let flags = read_flags(input, version)?;
    if flags & NAMED_VALUES != 0 {
        return Err(Malformed::Forbidden("a batch can't have named values"));
    }
    if flags & !BATCH_FLAGS != 0 {
        return Err(Malformed::Unknown {
            what: "set of batch flags",
            code: flags,
        });
    }
    read_tail(input, flags, &mut parameters)?;
    Ok(parameters)
}

fn read_flags(input: &mut Reader, version: Version) -> Result<u32, Malformed> {
    let (flags, known) = match version {
        Version::V4 => (u32::from(input.byte()?), V4_FLAGS),
        Version::V5 => (input.int()? as u32, V5_FLAGS),
    };
    // A flag may announce content, so one that is unknown can't be passed over.
    if flags & !known != 0 {
        return Err(Malformed::Unknown {
            what: "set of query flags",
            code: flags,
        });
    }
    Ok(flags)
}

/// Reads the options that QUERY and BATCH share, in their order.
fn read_tail(input: &mut Reader, flags: u32, parameters: &mut QueryParameters) -> Result<(), Malformed> {
    if flags & SERIAL_CONSISTENCY != 0 {
        let level = input.consistency()?;
        if !level.is_serial() {
            return Err(Malformed::Forbidden(
                "the serial consistency level must be SERIAL or LOCAL_SERIAL",
            ));
        }
        parameters.serial_consistency = Some(level);
    }
    if flags & DEFAULT_TIMESTAMP != 0 {
        let timestamp = input.long()?;
        if timestamp == i64::MIN {
            return Err(Malformed::Forbidden(
                "the smallest 64-bit integer is no timestamp",
            ));
        }
        parameters.timestamp = Some(Timestamp(timestamp));
    }
    if flags & KEYSPACE != 0 {
        parameters.keyspace = Some(input.string()?);
    }
    if flags & NOW_IN_SECONDS != 0 {
        parameters.now_in_seconds = Some(input.int()?);
    }
    Ok(())
}

/// Reads a `[short]` and as many values, each with its name in front if `named`.
pub(super) fn read_values(input: &mut Reader, named: bool) -> Result<Values, Malformed> {
    let count = usize::from(input.short()?);
    if named {
        let mut values = Vec::with_capacity(count.min(input.remaining() / 6));
        for _ in 0..count {
            values.push((input.string()?, input.value()?));
        }
        return Ok(Values::Named(values));
    }
    let mut values: Vec<Bound> = Vec::with_capacity(count.min(input.remaining() / 4));
    for _ in 0..count {
        values.push(input.value()?);
    }
    Ok(Values::Positional(values))
}

/// Writes the parameters of QUERY and EXECUTE.
pub(super) fn write(out: &mut Writer<'_>, version: Version, parameters: &QueryParameters) {
    out.consistency(parameters.consistency);
    let mut flags = tail_flags(parameters);
    match &parameters.values {
        Values::Positional(values) if values.is_empty() => {}
        Values::Positional(_) => flags |= VALUES,
        Values::Named(_) => flags |= VALUES | NAMED_VALUES,
    }
    for (set, flag) in [
        (parameters.skip_metadata, SKIP_METADATA),
        (parameters.page_size.is_some(), PAGE_SIZE),
        (parameters.paging_state.is_some(), PAGING_STATE),
    ] {
        if set {
            flags |= flag;
        }
    }
    write_flags(out, version, flags);
    if flags & VALUES != 0 {
        write_values(out, &parameters.values);
    }
    if let Some(size) = parameters.page_size {
        out.number(size);
    }
    if parameters.paging_state.is_some() {
        out.bytes(&parameters.paging_state);
    }
    write_tail(out, parameters);
}

/// Writes what follows the entries of a BATCH.
pub(super) fn write_batch(out: &mut Writer<'_>, version: Version, parameters: &QueryParameters) {
    out.consistency(parameters.consistency);
    write_flags(out, version, tail_flags(parameters));
    write_tail(out, parameters);
}

/// Writes values with their number in front.
pub(super) fn write_values(out: &mut Writer<'_>, values: &Values) {
    match values {
        Values::Positional(values) => {
            out.short_count(values.len(), "a list of values");
            for value in values {
                out.value(value);
            }
        }
        Values::Named(values) => {
            out.short_count(values.len(), "a list of values");
            for (name, value) in values {
                out.string(name);
                out.value(value);
            }
        }
    }
}

fn tail_flags(parameters: &QueryParameters) -> u32 {
    [
        (parameters.serial_consistency.is_some(), SERIAL_CONSISTENCY),
        (parameters.timestamp.is_some(), DEFAULT_TIMESTAMP),
        (parameters.keyspace.is_some(), KEYSPACE),
        (parameters.now_in_seconds.is_some(), NOW_IN_SECONDS),
    ]
    .into_iter()
    .fold(0, |flags, (set, flag)| if set { flags | flag } else { flags })
}

fn write_flags(out: &mut Writer<'_>, version: Version, flags: u32) {
    match version {
        Version::V4 if flags & !V4_FLAGS != 0 => {
            out.fail("a keyspace or a present second (they need v5), so the request");
        }
        Version::V4 => out.byte(flags as u8),
        Version::V5 => out.int(flags as i32),
    }
}

fn write_tail(out: &mut Writer<'_>, parameters: &QueryParameters) {
    if let Some(level) = parameters.serial_consistency {
        out.consistency(level);
    }
    if let Some(Timestamp(timestamp)) = parameters.timestamp {
        out.long(timestamp);
    }
    if let Some(keyspace) = &parameters.keyspace {
        out.string(keyspace);
    }
    if let Some(second) = parameters.now_in_seconds {
        out.int(second);
    }
}
