//! Makes mutations.

use starling_model::{
    Clustering, DecoratedKey, Deletion, Marker, Mutation, Partition, RangeTombstone, Row, Timestamp,
    mutation::MAX_MUTATION_BYTES,
};

use super::{
    Present, Shape, WritePlan,
    cells::{self, Stamp},
    timing,
};
use crate::{
    error::Error,
    plan::{Context, bind::BoundValues, restrictions::Partitions},
    schema::ColumnKind,
};

/// The most bytes that a statement writes to all its partitions together: with IN, a value is written as
/// often as there are combinations.
const MAX_STATEMENT_BYTES: usize = 4 * MAX_MUTATION_BYTES;

/// `batch` is the timestamp of the batch around the statement, if it has one.
pub(super) fn mutations(
    plan: &WritePlan,
    values: &BoundValues,
    present: &Present,
    batch: Option<Timestamp>,
    context: &mut Context<'_>,
) -> Result<Vec<Mutation>, Error> {
    let own = timing::timestamp(plan.timestamp.as_ref(), values, context)?;
    let timestamp = own.or(batch).unwrap_or(context.timestamp);
    let expiry = timing::expiry(
        plan.ttl.as_ref(),
        plan.table.options.default_time_to_live(),
        values,
        context,
    )?;
    let stamp = Stamp {
        timestamp,
        now: context.now,
        expiry,
    };
    plan.restrictions.check_combinations(values, context)?;
    let Partitions::Keys(keys) = plan.restrictions.partition.partitions(values, context)? else {
        return Err(Error::invalid("a write names its partitions"));
    };
    let mut mutations = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    for key in keys {
        let partition = partition(plan, &key, stamp, values, present, context)?;
        if partition.is_empty() {
            continue;
        }
        let mutation = Mutation {
            table: plan.table.id,
            key,
            partition,
        };
        check_size(&mutation)?;
        bytes += mutation.partition.weight();
        if bytes > MAX_STATEMENT_BYTES {
            return Err(Error::invalid(format!(
                "the statement writes more than {MAX_STATEMENT_BYTES} bytes to its partitions; nothing was changed; name fewer of them at a time"
            )));
        }
        mutations.push(mutation);
    }
    Ok(mutations)
}

/// The weight in memory is about the encoded size or more, so most mutations needn't be encoded to know.
fn check_size(mutation: &Mutation) -> Result<(), Error> {
    if mutation.partition.weight() > MAX_MUTATION_BYTES / 2 {
        let bytes = mutation.encode().len();
        if bytes > MAX_MUTATION_BYTES {
            return Err(Error::invalid(format!(
                "the write to one partition has {bytes} bytes; at most {MAX_MUTATION_BYTES} are taken"
            )));
        }
    }
    Ok(())
}

fn partition(
    plan: &WritePlan,
    key: &DecoratedKey,
    stamp: Stamp,
    values: &BoundValues,
    present: &Present,
    context: &mut Context<'_>,
) -> Result<Partition, Error> {
    let mut partition = Partition::default();
    let deletion = Deletion {
        timestamp: stamp.timestamp,
        at: stamp.now,
    };
    let is_static = |kind| kind == ColumnKind::Static;
    match plan.shape {
        Shape::DeletePartition => partition.delete(deletion),
        Shape::DeleteRanges => delete_ranges(plan, &mut partition, deletion, values, context)?,
        Shape::Static | Shape::Rows { .. } => {
            let statics = plan
                .operations
                .iter()
                .filter(|operation| is_static(operation.column.kind));
            let before = present.row(plan.table.id, key, None);
            partition.add_static(cells::row(statics, stamp, before, values, context)?);
        }
    }
    if let Shape::Rows { marker } = plan.shape {
        for clustering in plan
            .restrictions
            .clustering
            .rows(plan.table.clustering(), values, context)?
        {
            let regulars = plan
                .operations
                .iter()
                .filter(|operation| !is_static(operation.column.kind));
            let before = present.row(plan.table.id, key, Some(&clustering));
            let mut row = cells::row(regulars, stamp, before, values, context)?;
            if marker {
                row.marker = Some(Marker {
                    timestamp: stamp.timestamp,
                    expiry: stamp.expiry,
                });
            }
            partition.add_row(clustering, row);
        }
    }
    Ok(partition)
}

fn delete_ranges(
    plan: &WritePlan,
    partition: &mut Partition,
    deletion: Deletion,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<(), Error> {
    let columns = plan.table.clustering();
    let part = &plan.restrictions.clustering;
    if part.fixed() == columns.len() {
        for clustering in part.rows(columns, values, context)? {
            delete_row(partition, clustering, deletion);
        }
        return Ok(());
    }
    for range in part.ranges(columns, values, context)? {
        partition.delete_range(RangeTombstone { range, deletion });
    }
    Ok(())
}

fn delete_row(partition: &mut Partition, clustering: Clustering, deletion: Deletion) {
    partition.add_row(
        clustering,
        Row {
            deletion: Some(deletion),
            ..Row::default()
        },
    );
}
