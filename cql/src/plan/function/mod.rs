//! The functions of CQL that Starling knows (CQL 3.4, "Functions").

mod cast;

use bytes::Bytes;

use super::{
    Context,
    bind::{Markers, Target},
    expression::Expression,
};
use crate::{ast::Term, error::Error, parser, request::Value, types::CqlType, value};

pub(super) use cast::can_cast;

/// A function, with its types decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Function {
    /// `now()`, `currentTimeUUID()`.
    Now,
    /// `uuid()`.
    Uuid,
    /// `currentTimestamp()`, `currentDate()`, `currentTime()`.
    Current(CqlType),
    /// `minTimeuuid(timestamp)`.
    MinTimeuuid,
    /// `maxTimeuuid(timestamp)`.
    MaxTimeuuid,
    /// `toDate`, `toTimestamp`, `toUnixTimestamp`, `dateOf`, `unixTimestampOf`, CAST: from one type to another.
    Cast(CqlType, CqlType),
    /// `typeAsBlob`.
    AsBlob,
    /// `blobAsType`.
    BlobAs(CqlType),
    /// `token(...)`: of the partition key's components, in order.
    Token,
}

/// A function's name resolved: what it does, what it takes, what it gives.
pub(super) struct Signature {
    pub(super) function: Function,
    pub(super) parameters: Vec<CqlType>,
    pub(super) returns: CqlType,
}

/// Finds a function. `argument` is the type of its first argument, if that is known.
///
/// `None` if there is none of this name.
pub(super) fn signature(name: &str, argument: Option<&CqlType>) -> Option<Signature> {
    let of = |function, parameters, returns| {
        Some(Signature {
            function,
            parameters,
            returns,
        })
    };
    let convert = |from: &[CqlType], returns: CqlType, to: CqlType| {
        let from = argument
            .filter(|argument| from.contains(argument))
            .or(from.first())?
            .clone();
        Some(Signature {
            function: Function::Cast(from.clone(), to),
            parameters: vec![from],
            returns,
        })
    };
    let (timeuuid, timestamp, date) = (CqlType::Timeuuid, CqlType::Timestamp, CqlType::Date);
    match name {
        "now" | "currenttimeuuid" | "current_timeuuid" => of(Function::Now, vec![], timeuuid),
        "uuid" => of(Function::Uuid, vec![], CqlType::Uuid),
        "currenttimestamp" | "current_timestamp" => {
            of(Function::Current(CqlType::Timestamp), vec![], timestamp)
        }
        "currentdate" | "current_date" => of(Function::Current(CqlType::Date), vec![], date),
        "currenttime" | "current_time" => of(Function::Current(CqlType::Time), vec![], CqlType::Time),
        "mintimeuuid" | "min_timeuuid" => of(Function::MinTimeuuid, vec![timestamp], timeuuid),
        "maxtimeuuid" | "max_timeuuid" => of(Function::MaxTimeuuid, vec![timestamp], timeuuid),
        "todate" | "to_date" => convert(&[timeuuid, timestamp], CqlType::Date, CqlType::Date),
        "totimestamp" | "to_timestamp" => convert(&[timeuuid, date], CqlType::Timestamp, CqlType::Timestamp),
        "tounixtimestamp" | "to_unix_timestamp" => {
            convert(&[timeuuid, timestamp, date], CqlType::Bigint, CqlType::Timestamp)
        }
        "dateof" => convert(&[timeuuid], CqlType::Timestamp, CqlType::Timestamp),
        "unixtimestampof" => convert(&[timeuuid], CqlType::Bigint, CqlType::Timestamp),
        _ => {
            let plain = name.replace('_', "");
            if let Some(from) = plain.strip_suffix("asblob").and_then(scalar_type) {
                return of(Function::AsBlob, vec![from], CqlType::Blob);
            }
            let to = plain.strip_prefix("blobas").and_then(scalar_type)?;
            of(Function::BlobAs(to.clone()), vec![CqlType::Blob], to)
        }
    }
}

fn scalar_type(name: &str) -> Option<CqlType> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_lowercase());
    is_word
        .then(|| parser::parse_type(name).ok())
        .flatten()
        .filter(|cql_type| !cql_type.is_collection())
}

/// The error for a name that is no function.
pub(super) fn unknown(name: &str) -> Error {
    Error::invalid(format!(
        "Unknown function '{name}' called, or it is not supported yet"
    ))
}

/// Fails unless a value of a type can stand where another is wanted.
pub(super) fn check_assignable(from: &CqlType, target: &Target) -> Result<(), Error> {
    if is_assignable(from, target.cql_type()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Type error: a value of type {from} can't be assigned to {} of type {}",
        target.name(),
        target.cql_type()
    )))
}

fn is_assignable(from: &CqlType, to: &CqlType) -> bool {
    from == to
        || matches!(
            (from, to),
            (CqlType::Timeuuid, CqlType::Uuid) | (CqlType::Ascii, CqlType::Text) | (_, CqlType::Blob)
        )
        || from.clone().freeze() == to.clone().freeze()
}

/// The type of a term, where that is plain.
fn type_of(term: &Term) -> Option<CqlType> {
    match term {
        Term::Literal(literal) => value::type_of(literal),
        Term::Hint { cql_type, .. } | Term::Cast { cql_type, .. } => Some(cql_type.clone()),
        Term::Call { name, arguments } => {
            let first = arguments.first().and_then(type_of);
            signature(name, first.as_ref()).map(|signature| signature.returns)
        }
        Term::Marker(_) | Term::List(_) | Term::Set(_) | Term::Map(_) | Term::Tuple(_) => None,
    }
}

/// A call in a term.
pub(super) fn call(
    name: &str,
    arguments: &[Term],
    target: &Target,
    markers: &mut Markers,
) -> Result<Expression, Error> {
    if ["token", "writetime", "maxwritetime", "ttl"].contains(&name) {
        return Err(Error::invalid(format!(
            "the function {name} can't be called here"
        )));
    }
    let first = arguments.first().and_then(type_of);
    let signature = signature(name, first.as_ref()).ok_or_else(|| unknown(name))?;
    check_count(name, signature.parameters.len(), arguments.len())?;
    check_assignable(&signature.returns, target)?;
    let arguments = arguments
        .iter()
        .zip(&signature.parameters)
        .map(|(term, parameter)| {
            Expression::new(term, &Target::named(&format!("arg0({name})"), parameter), markers)
        })
        .collect::<Result<_, _>>()?;
    Ok(Expression::Call(signature.function, arguments))
}

pub(super) fn check_count(name: &str, expected: usize, given: usize) -> Result<(), Error> {
    if expected == given {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid number of arguments in call to function {name}: {expected} required but {given} provided"
    )))
}

/// CAST in a term.
pub(super) fn cast(
    term: &Term,
    to: &CqlType,
    target: &Target,
    markers: &mut Markers,
) -> Result<Expression, Error> {
    check_assignable(to, target)?;
    let from = type_of(term)
        .ok_or_else(|| Error::invalid("the type of what CAST converts can't be known; add a type hint"))?;
    if !can_cast(&from, to) {
        return Err(Error::invalid(format!("{from} cannot be cast to {to}")));
    }
    let inner = Expression::new(term, &Target::named("cast", &from), markers)?;
    Ok(Expression::Call(Function::Cast(from, to.clone()), vec![inner]))
}

fn arity(arguments: &[Value]) -> Option<&Bytes> {
    arguments.first().and_then(Option::as_ref)
}

impl Function {
    /// Whether the result depends on the arguments alone.
    pub(super) fn is_pure(&self) -> bool {
        !matches!(self, Self::Now | Self::Uuid | Self::Current(_))
    }

    /// The result. Of null it is null.
    pub(super) fn evaluate(&self, arguments: &[Value], context: &mut Context<'_>) -> Result<Value, Error> {
        let bytes = match self {
            Self::Now => context.timeuuid().to_be_bytes().to_vec(),
            Self::Uuid => context.random_uuid().to_be_bytes().to_vec(),
            Self::Current(cql_type) => current(cql_type, context.now_micros),
            _ => return self.apply(arguments),
        };
        Ok(Some(bytes.into()))
    }

    /// The result of a pure function. Of null it is null.
    pub(super) fn apply(&self, arguments: &[Value]) -> Result<Value, Error> {
        let Some(argument) = arity(arguments) else {
            return Ok(None);
        };
        match self {
            Self::MinTimeuuid | Self::MaxTimeuuid => {
                let Some(millis) = value::long(argument) else {
                    return Ok(None);
                };
                let micros = millis.saturating_mul(1000);
                // The smallest and the largest lower half, which compares as signed bytes.
                let bits = if *self == Self::MinTimeuuid {
                    value::timeuuid_parts(micros, 0, 0x8080_8080_8080_8080)
                } else {
                    value::timeuuid_parts(micros.saturating_add(999), 9, 0x7F7F_7F7F_7F7F_7F7F)
                };
                Ok(Some(bits.to_be_bytes().to_vec().into()))
            }
            Self::Cast(from, to) => Ok(cast::convert(from, to, argument)?.map(Bytes::from)),
            Self::BlobAs(to) => {
                value::validate(to, argument).map_err(|error| {
                    Error::invalid(format!("In call to function blobas{to}, value 0x... is not a valid binary representation: {}", error.message))
                })?;
                Ok(Some(argument.clone()))
            }
            _ => Ok(Some(argument.clone())),
        }
    }
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn current(cql_type: &CqlType, micros: i64) -> Vec<u8> {
    match cql_type {
        CqlType::Date => date_of(micros).to_be_bytes().to_vec(),
        CqlType::Time => (micros.rem_euclid(MICROS_PER_DAY) * 1000).to_be_bytes().to_vec(),
        _ => micros.div_euclid(1000).to_be_bytes().to_vec(),
    }
}

/// The day of a time, as a `date` has it; the nearest that it can hold.
fn date_of(micros: i64) -> u32 {
    (micros.div_euclid(MICROS_PER_DAY) + (1 << 31)).clamp(0, i64::from(u32::MAX)) as u32
}
