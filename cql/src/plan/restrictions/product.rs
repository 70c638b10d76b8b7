//! The combinations that the INs of a statement come to, and their bound.

use bytes::Bytes;

use super::{Choice, PartitionPart, Restrictions, SegmentValues};
use crate::{
    error::Error,
    plan::{Context, bind::BoundValues},
};

/// The most combinations of values that the INs of one statement may come to: partitions times rows, or
/// ranges of rows, of each. Cassandra has no bound unless a guardrail is set; ScyllaDB takes 100 partitions
/// times 100 rows.
const MAX_COMBINATIONS: usize = 10_000;
/// The most bytes that their values may come to, each counted as often as it is used.
const MAX_COMBINED_BYTES: usize = 16 << 20;

/// Values of one combination.
type Combination = Vec<Bytes>;

impl Restrictions {
    /// Counts what the INs of the partition key and of the clustering columns come to, before any of it is
    /// made.
    pub(in crate::plan) fn check_combinations(
        &self,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let mut all = 1_usize;
        if let PartitionPart::Keys(columns) = &self.partition {
            for (column, choice) in columns {
                all = all.saturating_mul(choice.count(&column.name, values, context)?);
            }
        }
        for segment in &self.clustering.segments {
            let count = match (&segment.values, segment.columns.first()) {
                (SegmentValues::Single(choice), Some(column)) => {
                    choice.count(&column.name, values, context)?
                }
                (SegmentValues::Single(_), None) => 1,
                (SegmentValues::Tuples(tuples), _) => tuples.len(),
            };
            all = all.saturating_mul(count);
        }
        if all > MAX_COMBINATIONS {
            return Err(too_many(all));
        }
        Ok(())
    }
}

impl Choice {
    /// How many values are given, those that are given twice included.
    fn count(&self, name: &str, values: &BoundValues, context: &mut Context<'_>) -> Result<usize, Error> {
        match self {
            Self::These(expressions) => Ok(expressions.len()),
            Self::ListMarker(marker, _) => {
                let list = marker.required(name, values, context)?;
                let count = list.first_chunk::<4>().map(|count| u32::from_be_bytes(*count));
                Ok(count.map_or(0, |count| count as usize))
            }
        }
    }
}

fn too_many(combinations: usize) -> Error {
    Error::invalid(format!(
        "the IN conditions come to {combinations} combinations of values, and at most {MAX_COMBINATIONS} are taken; nothing was read or changed; split the statement"
    ))
}

/// Every way to go on from `combinations` with one of `next`.
pub(super) fn product(
    mut combinations: Vec<Combination>,
    next: &[Vec<Bytes>],
) -> Result<Vec<Combination>, Error> {
    if let ([only], [values]) = (&mut combinations[..], next) {
        only.extend_from_slice(values);
        return Ok(combinations);
    }
    let count = combinations.len().saturating_mul(next.len());
    if count > MAX_COMBINATIONS {
        return Err(too_many(count));
    }
    let bytes =
        weight(&combinations).saturating_mul(next.len()) + weight(next).saturating_mul(combinations.len());
    if count > 1 && bytes > MAX_COMBINED_BYTES {
        return Err(Error::invalid(format!(
            "the combinations of the IN conditions come to {bytes} bytes, and at most {MAX_COMBINED_BYTES} are taken; nothing was read or changed; split the statement"
        )));
    }
    let mut all = Vec::with_capacity(count);
    for combination in &combinations {
        for values in next {
            all.push(combination.iter().chain(values).cloned().collect());
        }
    }
    Ok(all)
}

fn weight(combinations: &[Combination]) -> usize {
    combinations.iter().flatten().map(Bytes::len).sum()
}
