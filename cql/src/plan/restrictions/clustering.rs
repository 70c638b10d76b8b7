//! From restrictions and values to clustering ranges.

use bytes::Bytes;
use starling_model::{Clustering, ClusteringRange, key};

use super::{Bound, ClusteringPart, Segment, SegmentValues, product::product};
use crate::{
    error::Error,
    ordered_key,
    plan::{Context, bind::BoundValues},
    schema::Column,
};

impl Segment {
    fn choices(&self, values: &BoundValues, context: &mut Context<'_>) -> Result<Vec<Vec<Bytes>>, Error> {
        match &self.values {
            SegmentValues::Single(choice) => {
                let name = self.columns.first().map_or("", |column| &column.name);
                Ok(choice
                    .values(name, values, context)?
                    .into_iter()
                    .map(|value| vec![value])
                    .collect())
            }
            SegmentValues::Tuples(tuples) => tuples
                .iter()
                .map(|tuple| {
                    let parts = self.columns.iter().zip(tuple);
                    parts
                        .map(|(column, value)| value.required(&column.name, values, context))
                        .collect()
                })
                .collect(),
        }
    }
}

impl Bound {
    /// The bytes that every row at the bound begins with.
    fn encoded(
        &self,
        prefix: &[u8],
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<u8>, Error> {
        let mut out = prefix.to_vec();
        for (column, expression) in self.columns.iter().zip(&self.values) {
            let value = expression.required(&column.name, values, context)?;
            ordered_key::put_component(&mut out, &column.cql_type, column.is_descending(), &value)?;
        }
        Ok(out)
    }

    /// The ranges on this side of the bound, whatever the directions of its columns: for each column,
    /// the rows that equal the bound in the columns before it and lie beyond it in this one.
    fn ranges(
        &self,
        prefix: &[u8],
        is_lower: bool,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<ClusteringRange>, Error> {
        let mut ranges = Vec::with_capacity(self.columns.len());
        let mut equal = prefix.to_vec();
        for (at, (column, expression)) in self.columns.iter().zip(&self.values).enumerate() {
            let mut range = ClusteringRange::prefix(&equal);
            let value = expression.required(&column.name, values, context)?;
            ordered_key::put_component(&mut equal, &column.cql_type, column.is_descending(), &value)?;
            let with_equal = self.inclusive && at + 1 == self.columns.len();
            let after = key::after_prefix(&equal);
            if is_lower == column.is_descending() {
                range.end = Some(if with_equal { after } else { equal.clone().into() });
            } else {
                range.start = if with_equal { equal.clone().into() } else { after };
            }
            ranges.push(range);
        }
        Ok(ranges)
    }
}

impl ClusteringPart {
    /// The ranges of rows: ordered, disjoint, none empty. `columns` are the table's clustering columns.
    pub(in crate::plan) fn ranges(
        &self,
        columns: &[Column],
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<ClusteringRange>, Error> {
        let mut prefixes = vec![Vec::new()];
        for segment in &self.segments {
            prefixes = product(prefixes, &segment.choices(values, context)?)?;
        }
        let mut ranges = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let encoded = ordered_key::encode_clustering(columns, &prefix)?;
            if !columns.is_empty() && prefix.len() == columns.len() {
                ranges.push(ClusteringRange::row(&encoded));
            } else if !self.is_slice() {
                ranges.push(ClusteringRange::prefix(&encoded.0));
            } else if self.has_one_direction() {
                ranges.push(self.slice(&encoded.0, values, context)?);
            } else {
                ranges.extend(self.slices(&encoded.0, values, context)?);
            }
        }
        ranges.retain(|range| !range.is_empty());
        Ok(disjoint(ranges))
    }

    /// Whether the columns of the slice are all ascending or all descending: then it is one range.
    fn has_one_direction(&self) -> bool {
        let bounds = self.lower.iter().chain(&self.upper);
        let mut directions = bounds.flat_map(|bound| &bound.columns).map(Column::is_descending);
        let first = directions.next();
        directions.all(|direction| Some(direction) == first)
    }

    /// The ranges of a slice over columns of different directions.
    fn slices(
        &self,
        prefix: &[u8],
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<ClusteringRange>, Error> {
        let mut ranges = vec![ClusteringRange::prefix(prefix)];
        for (bound, is_lower) in [(&self.lower, true), (&self.upper, false)] {
            if let Some(bound) = bound {
                ranges = common(&ranges, &bound.ranges(prefix, is_lower, values, context)?);
            }
        }
        Ok(ranges)
    }

    fn slice(
        &self,
        prefix: &[u8],
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<ClusteringRange, Error> {
        let any = self.lower.as_ref().or(self.upper.as_ref());
        let descending = any
            .and_then(|bound| bound.columns.first())
            .is_some_and(Column::is_descending);
        let (first, last) = if descending {
            (&self.upper, &self.lower)
        } else {
            (&self.lower, &self.upper)
        };
        let mut range = ClusteringRange::prefix(prefix);
        if let Some(bound) = first {
            let encoded = bound.encoded(prefix, values, context)?;
            range.start = if bound.inclusive {
                encoded.into()
            } else {
                key::after_prefix(&encoded)
            };
        }
        if let Some(bound) = last {
            let encoded = bound.encoded(prefix, values, context)?;
            range.end = Some(if bound.inclusive {
                key::after_prefix(&encoded)
            } else {
                encoded.into()
            });
        }
        Ok(range)
    }
}

/// What lies in a range of both.
fn common(left: &[ClusteringRange], right: &[ClusteringRange]) -> Vec<ClusteringRange> {
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
    pairs
        .map(|(a, b)| ClusteringRange {
            start: a.start.clone().max(b.start.clone()),
            end: if key::compare_ends(a.end.as_ref(), b.end.as_ref()).is_le() {
                a.end.clone()
            } else {
                b.end.clone()
            },
        })
        .filter(|range| !range.is_empty())
        .collect()
}

/// Orders ranges and joins those that overlap.
fn disjoint(mut ranges: Vec<ClusteringRange>) -> Vec<ClusteringRange> {
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let mut joined: Vec<ClusteringRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end.as_ref().is_none_or(|end| range.start < *end) => {
                if key::compare_ends(range.end.as_ref(), last.end.as_ref()).is_gt() {
                    last.end = range.end;
                }
            }
            _ => joined.push(range),
        }
    }
    joined
}

impl ClusteringPart {
    /// The rows, where every column has given values.
    pub(in crate::plan) fn rows(
        &self,
        columns: &[Column],
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<Clustering>, Error> {
        let mut rows = vec![Vec::new()];
        for segment in &self.segments {
            rows = product(rows, &segment.choices(values, context)?)?;
        }
        rows.iter()
            .map(|row| ordered_key::encode_clustering(columns, row))
            .collect()
    }
}
