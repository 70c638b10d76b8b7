//! What is left of a quarrel about the schema: one schema, and all rows.

use std::collections::BTreeMap;

use starling_cql::{QueryResult, Rows, schema::Schema};
use starling_model::Consistency;

use super::{
    acts::Stage,
    verdict::{ATTEMPTS, PAUSE, query},
    violation,
};
use crate::{
    checkers::{Promise, Violation},
    cluster::Cluster,
    quarrel::ill_typed,
};

/// All nodes show one schema, and it is what the law makes of all that any of them knows: were it another one, the
/// next message between two of them could change it.
pub(super) fn one_schema(cluster: &Cluster) -> Option<Violation> {
    let serving = cluster.serving();
    let merged = merged(cluster);
    let differs = serving
        .iter()
        .find(|(_, node)| node.schema().version() != merged.version());
    differs.map(|(number, node)| {
        let schema = node.schema();
        let different: Vec<_> = merged
            .entries()
            .filter(|entry| schema.entry(&entry.name) != Some(entry))
            .map(|entry| (&entry.name, entry.version, schema.entry(&entry.name)))
            .collect();
        let text = format!("n{number} does not have the schema of all; it differs in {different:?}");
        violation(Promise::SchemaAgreement, text)
    })
}

fn merged(cluster: &Cluster) -> Schema {
    let mut merged = Schema::default();
    for (_, node) in cluster.serving() {
        merged.merge(node.schema().entries().cloned());
    }
    merged
}

/// Every table that was quarrelled about can be read, and the one that nobody dropped has every row that was acknowledged,
/// whichever of its columns prevailed.
pub(super) async fn disputed_tables(stage: Stage<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let schema = merged(stage.cluster);
    let disputed = |keyspace: &str, table: &str| {
        keyspace.starts_with("side_") || table == "disputed" || table.starts_with("twin_")
    };
    for table in schema
        .all_tables()
        .filter(|table| disputed(&table.keyspace, &table.name))
    {
        let name = format!("{}.{}", table.keyspace, table.name);
        match read_whole(stage, &name).await {
            Err(problem) => {
                let text = format!("{name} at ALL fails after healing: {problem}");
                violations.push(violation(Promise::Recovery, text));
            }
            Ok(rows) => {
                let problem = ill_typed(&rows);
                violations
                    .extend(problem.map(|text| violation(Promise::Validity, format!("{name}: {text}"))));
                if table.name == "disputed" {
                    violations.extend(lost_rows(stage, &rows));
                }
            }
        }
    }
    violations
}

async fn read_whole(stage: Stage<'_>, table: &str) -> Result<Rows, String> {
    let mut last = String::new();
    let nodes = stage.cluster.serving();
    for attempt in 0..ATTEMPTS {
        let (node, _) = nodes[attempt % nodes.len()];
        let text = format!("SELECT * FROM {table}");
        match query(stage.cluster, node, &text, Consistency::All).await {
            Ok(QueryResult::Rows(rows)) => return Ok(rows),
            other => last = format!("n{node}: {other:?}"),
        }
        stage.handle.sleep(PAUSE).await;
    }
    Err(last)
}

fn lost_rows(stage: Stage<'_>, rows: &Rows) -> Vec<Violation> {
    let place = |name: &str| rows.columns.iter().position(|column| column.name == name);
    let (Some(key), Some(value)) = (place("p"), place("v")) else {
        let text = format!("the disputed table has the columns {:?}", rows.columns);
        return vec![violation(Promise::Validity, text)];
    };
    let int = |row: &Vec<_>, at: usize| -> Option<i32> {
        let bytes: &Option<bytes::Bytes> = &row[at];
        Some(i32::from_be_bytes(bytes.as_deref()?.try_into().ok()?))
    };
    let there: BTreeMap<Option<i32>, Option<i32>> = rows
        .rows
        .iter()
        .map(|row| (int(row, key), int(row, value)))
        .collect();
    let written = stage.recorder.disputes().into_iter();
    let lost = written.filter(|value| there.get(&Some(*value)) != Some(&Some(*value)));
    lost.map(|value| {
        let text = format!(
            "the disputed table shows {:?} in row {value}, after that was acknowledged at QUORUM",
            there.get(&Some(value))
        );
        violation(Promise::NoLostWrite, text)
    })
    .collect()
}
