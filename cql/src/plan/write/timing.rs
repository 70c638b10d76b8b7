//! USING TIMESTAMP and USING TTL.

use starling_model::{Expiry, Seconds, Timestamp};

use crate::{
    error::Error,
    plan::{Context, bind::BoundValues, expression::Expression},
    request::Bound,
    schema::MAX_TTL,
    value,
};

/// The timestamp that a statement names; `None`: it names none.
pub(super) fn timestamp(
    expression: Option<&Expression>,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<Option<Timestamp>, Error> {
    let Some(expression) = expression else {
        return Ok(None);
    };
    match expression.evaluate(values, context)? {
        Bound::Unset => Ok(None),
        Bound::Value(None) => Err(Error::invalid("Invalid null value of timestamp")),
        Bound::Value(Some(bytes)) => match value::long(&bytes) {
            Some(i64::MIN) => Err(Error::invalid(
                "Out of bound timestamp: the smallest one is taken by nothing",
            )),
            Some(micros) => Ok(Some(Timestamp(micros))),
            None => Err(Error::invalid("Invalid timestamp value: it has 8 bytes")),
        },
    }
}

/// When values written now end, given a statement's TTL and the table's.
///
/// A TTL of 0 is none, also where the table has one. Ends past the last second that can be told
/// (in 2106) are that second.
pub(super) fn expiry(
    expression: Option<&Expression>,
    default: u32,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<Option<Expiry>, Error> {
    let given = match expression {
        Some(expression) => expression.evaluate(values, context)?,
        None => Bound::Unset,
    };
    let ttl = match given {
        Bound::Unset | Bound::Value(None) => default,
        Bound::Value(Some(bytes)) => {
            let seconds =
                value::int(&bytes).ok_or_else(|| Error::invalid("Invalid TTL value: it has 4 bytes"))?;
            let seconds = u32::try_from(seconds).map_err(|_| {
                Error::invalid(format!("A TTL must be greater or equal to 0, but was {seconds}"))
            })?;
            if seconds > MAX_TTL {
                return Err(Error::invalid(format!(
                    "ttl is too large. requested ({seconds}) maximum ({MAX_TTL})"
                )));
            }
            seconds
        }
    };
    let last = u32::MAX - 1;
    Ok((ttl > 0).then(|| Expiry {
        at: Seconds(context.now.0.saturating_add(ttl).min(last)),
        ttl,
    }))
}
