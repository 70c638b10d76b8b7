//! ERROR (v5 section 9): code, message, and the fields of each code.

use std::net::{IpAddr, Ipv4Addr};

use super::{malformed::Malformed, reader::Reader, version::Version, writer::Writer};
use crate::error::{Error, ErrorKind, WriteType};

/// Stands in v5's map of failures for a replica that is not named.
const UNNAMED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The failure code for a reason that is not told (v5 section 9, Read_failure).
const UNKNOWN_REASON: u16 = 0x0000;

pub(super) fn write(out: &mut Writer<'_>, version: Version, error: &Error) {
    out.number(error.kind.code());
    out.message(&error.message);
    match &error.kind {
        ErrorKind::Server
        | ErrorKind::Protocol
        | ErrorKind::BadCredentials
        | ErrorKind::Overloaded
        | ErrorKind::Bootstrapping
        | ErrorKind::Truncate
        | ErrorKind::Syntax
        | ErrorKind::Unauthorized
        | ErrorKind::Invalid
        | ErrorKind::Config => {}
        ErrorKind::Unavailable {
            consistency,
            required,
            alive,
        } => {
            out.consistency(*consistency);
            out.number(*required);
            out.number(*alive);
        }
        ErrorKind::WriteTimeout {
            consistency,
            received,
            required,
            write_type,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            out.string(write_type.name());
        }
        ErrorKind::ReadTimeout {
            consistency,
            received,
            required,
            data_present,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            out.byte((*data_present).into());
        }
        ErrorKind::ReadFailure {
            consistency,
            received,
            required,
            failures,
            data_present,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            write_failures(out, version, *failures);
            out.byte((*data_present).into());
        }
        ErrorKind::WriteFailure {
            consistency,
            received,
            required,
            failures,
            write_type,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            write_failures(out, version, *failures);
            out.string(write_type.name());
        }
        ErrorKind::AlreadyExists { keyspace, table } => {
            out.string(keyspace);
            out.string(table);
        }
        ErrorKind::Unprepared { id } => out.short_bytes(id),
    }
}

/// v4 has the number of failures, v5 a map from replica to reason.
fn write_failures(out: &mut Writer<'_>, version: Version, failures: u32) {
    match version {
        Version::V4 => out.number(failures),
        Version::V5 => {
            // No placement has more replicas than this, so nothing is lost.
            let failures = failures.min(u16::MAX.into());
            out.number(failures);
            for _ in 0..failures {
                out.address(UNNAMED);
                out.short(UNKNOWN_REASON);
            }
        }
    }
}

fn read_failures(input: &mut Reader, version: Version) -> Result<u32, Malformed> {
    let failures = input.unsigned("a number of failures")?;
    if version >= Version::V5 {
        for _ in 0..failures {
            input.address()?;
            input.short()?;
        }
    }
    Ok(failures)
}

fn read_write_type(input: &mut Reader) -> Result<WriteType, Malformed> {
    let name = input.string()?;
    [
        WriteType::Simple,
        WriteType::Batch,
        WriteType::UnloggedBatch,
        WriteType::Counter,
        WriteType::BatchLog,
    ]
    .into_iter()
    .find(|kind| kind.name() == name)
    .ok_or_else(|| Malformed::unknown_name("write type", &name))
}

pub(super) fn read(input: &mut Reader, version: Version) -> Result<Error, Malformed> {
    let code = input.int()?;
    let message = input.string()?;
    Ok(Error::new(read_kind(input, version, code)?, message))
}

fn read_kind(input: &mut Reader, version: Version, code: i32) -> Result<ErrorKind, Malformed> {
    Ok(match code {
        0x0000 => ErrorKind::Server,
        0x000A => ErrorKind::Protocol,
        0x0100 => ErrorKind::BadCredentials,
        0x1000 => ErrorKind::Unavailable {
            consistency: input.consistency()?,
            required: input.unsigned("a number of replicas")?,
            alive: input.unsigned("a number of replicas")?,
        },
        0x1001 => ErrorKind::Overloaded,
        0x1002 => ErrorKind::Bootstrapping,
        0x1003 => ErrorKind::Truncate,
        0x1100 => ErrorKind::WriteTimeout {
            consistency: input.consistency()?,
            received: input.unsigned("a number of replicas")?,
            required: input.unsigned("a number of replicas")?,
            write_type: read_write_type(input)?,
        },
        0x1200 => ErrorKind::ReadTimeout {
            consistency: input.consistency()?,
            received: input.unsigned("a number of replicas")?,
            required: input.unsigned("a number of replicas")?,
            data_present: input.byte()? != 0,
        },
        0x1300 => ErrorKind::ReadFailure {
            consistency: input.consistency()?,
            received: input.unsigned("a number of replicas")?,
            required: input.unsigned("a number of replicas")?,
            failures: read_failures(input, version)?,
            data_present: input.byte()? != 0,
        },
        0x1500 => ErrorKind::WriteFailure {
            consistency: input.consistency()?,
            received: input.unsigned("a number of replicas")?,
            required: input.unsigned("a number of replicas")?,
            failures: read_failures(input, version)?,
            write_type: read_write_type(input)?,
        },
        0x2000 => ErrorKind::Syntax,
        0x2100 => ErrorKind::Unauthorized,
        0x2200 => ErrorKind::Invalid,
        0x2300 => ErrorKind::Config,
        0x2400 => ErrorKind::AlreadyExists {
            keyspace: input.string()?,
            table: input.string()?,
        },
        0x2500 => ErrorKind::Unprepared {
            id: input.short_bytes()?,
        },
        code => {
            return Err(Malformed::Unknown {
                what: "error code",
                code: code as u32,
            });
        }
    })
}
