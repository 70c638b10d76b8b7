//! ERROR (v5 section 9): code, message, and the fields of each code.

use starling_model::Consistency;

use super::{malformed::Malformed, reader::Reader, version::Version, writer::Writer};
use crate::error::{Error, ErrorKind, FailureReason, ReplicaFailure, WriteType};

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
            reasons,
            data_present,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            write_failures(out, version, *failures, reasons);
            out.byte((*data_present).into());
        }
        ErrorKind::WriteFailure {
            consistency,
            received,
            required,
            failures,
            reasons,
            write_type,
        } => {
            out.consistency(*consistency);
            out.number(*received);
            out.number(*required);
            write_failures(out, version, *failures, reasons);
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
fn write_failures(out: &mut Writer<'_>, version: Version, failures: u32, reasons: &[ReplicaFailure]) {
    match version {
        Version::V4 => out.number(failures),
        Version::V5 => {
            // No placement has more replicas than this, so nothing is lost.
            let reasons = &reasons[..reasons.len().min(u16::MAX.into())];
            out.number(reasons.len() as u32);
            for failure in reasons {
                out.address(failure.address);
                out.short(failure.reason.code());
            }
        }
    }
}

fn read_failures(input: &mut Reader, version: Version) -> Result<(u32, Vec<ReplicaFailure>), Malformed> {
    let failures = input.unsigned("a number of failures")?;
    let mut reasons = Vec::new();
    if version >= Version::V5 {
        for _ in 0..failures {
            reasons.push(ReplicaFailure {
                address: input.address()?,
                reason: FailureReason::from_code(input.short()?),
            });
        }
    }
    Ok((failures, reasons))
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

/// The level, how many replicas answered, and how many were needed.
fn read_counts(input: &mut Reader) -> Result<(Consistency, u32, u32), Malformed> {
    let consistency = input.consistency()?;
    let received = input.unsigned("a number of replicas")?;
    let required = input.unsigned("a number of replicas")?;
    Ok((consistency, received, required))
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
        0x1100 => {
            let (consistency, received, required) = read_counts(input)?;
            ErrorKind::WriteTimeout {
                consistency,
                received,
                required,
                write_type: read_write_type(input)?,
            }
        }
        0x1200 => {
            let (consistency, received, required) = read_counts(input)?;
            ErrorKind::ReadTimeout {
                consistency,
                received,
                required,
                data_present: input.byte()? != 0,
            }
        }
        0x1300 => {
            let (consistency, received, required) = read_counts(input)?;
            let (failures, reasons) = read_failures(input, version)?;
            ErrorKind::ReadFailure {
                consistency,
                received,
                required,
                failures,
                reasons,
                data_present: input.byte()? != 0,
            }
        }
        0x1500 => {
            let (consistency, received, required) = read_counts(input)?;
            let (failures, reasons) = read_failures(input, version)?;
            ErrorKind::WriteFailure {
                consistency,
                received,
                required,
                failures,
                reasons,
                write_type: read_write_type(input)?,
            }
        }
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
