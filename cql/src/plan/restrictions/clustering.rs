//! From restrictions and values to clustering ranges.

use bytes::Bytes;
use starling_model::{Clustering, ClusteringRange, key};

use super::{Bound, ClusteringPart, Segment, SegmentValues, keys::product};
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
            let range = if !columns.is_empty() && prefix.len() == columns.len() {
                ClusteringRange::row(&encoded)
            } else if self.is_slice() {
                self.slice(&encoded.0, values, context)?
            } else {
                ClusteringRange::prefix(&encoded.0)
            };
            if !range.is_empty() {
                ranges.push(range);
            }
        }
        Ok(disjoint(ranges))
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
