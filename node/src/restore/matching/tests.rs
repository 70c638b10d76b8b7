use bytes::Bytes;
use starling_cql::schema::{Column, TableOptions};
use starling_cql::types::CqlType;
use starling_model::{CellValue, Timestamp};

use super::*;

fn column(name: &str, id: u32, cql_type: CqlType, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        id: ColumnId(id),
        cql_type,
        kind,
    }
}

fn table(id: u128, regular: &[(&str, u32, CqlType)]) -> Table {
    let mut columns = vec![
        column("k", 0, CqlType::Int, ColumnKind::PartitionKey),
        column(
            "c",
            1,
            CqlType::Text,
            ColumnKind::Clustering { descending: false },
        ),
    ];
    let regular = regular.iter().cloned();
    columns.extend(regular.map(|(name, id, cql_type)| column(name, id, cql_type, ColumnKind::Regular)));
    Table {
        keyspace: "ks".to_owned(),
        name: "t".to_owned(),
        id: TableId(id),
        columns,
        options: TableOptions::default(),
        dropped: Vec::new(),
    }
}

fn schema(table: Table) -> Schema {
    use starling_cql::schema::{Keyspace, Replication, SchemaEntry};
    let version = Timestamp(5);
    let keyspace = Keyspace {
        name: "ks".to_owned(),
        replication: Replication::simple(1),
        durable_writes: true,
        created: version,
    };
    let mut schema = Schema::default();
    schema.merge([
        SchemaEntry::keyspace(keyspace, version),
        SchemaEntry::table(table, version),
    ]);
    schema
}

#[test]
fn a_table_of_the_same_id_takes_all_as_it_is() {
    let kept = table(9, &[("v", 2, CqlType::Int), ("gone", 3, CqlType::Int)]);
    let present = schema(table(9, &[("v", 2, CqlType::Int)]));
    let target = Target::find(&kept, &present).unwrap();
    assert_eq!((target.table, target.columns), (TableId(9), None));
}

#[test]
fn a_table_of_the_same_name_and_columns_takes_them_by_name() {
    let kept = table(9, &[("a", 2, CqlType::Int), ("v", 700, CqlType::Int)]);
    let present = schema(table(
        10,
        &[
            ("a", 5, CqlType::Int),
            ("more", 2, CqlType::Int),
            ("v", 3, CqlType::Int),
        ],
    ));
    let target = Target::find(&kept, &present).unwrap();
    assert_eq!(target.table, TableId(10));
    let cell = |column: u32| Cell {
        column: ColumnId(column),
        path: None,
        timestamp: Timestamp(1),
        value: CellValue::Live {
            value: Bytes::from(column.to_string()),
            expiry: None,
        },
    };
    let mut row = Row::default();
    for column in [2, 4, 700] {
        row.add(cell(column));
    }
    let mapped = target.row(row);
    assert!(mapped.is_canonical());
    // Column 4 was dropped before.
    let content: Vec<(u32, Bytes)> = mapped
        .cells
        .iter()
        .map(|cell| match &cell.value {
            CellValue::Live { value, .. } => (cell.column.0, value.clone()),
            CellValue::Tombstone(_) => unreachable!(),
        })
        .collect();
    assert_eq!(content, [(3, Bytes::from("700")), (5, Bytes::from("2"))]);
}

#[test]
fn what_has_no_place_is_refused_and_named() {
    let kept = table(9, &[("v", 2, CqlType::Int)]);
    let refused = |present: &Schema| Target::find(&kept, present).unwrap_err();
    assert!(refused(&Schema::default()).contains("ks.t does not exist"));
    let other = schema(table(10, &[("v", 2, CqlType::Text)]));
    assert!(refused(&other).contains("column v was int and is text"));
    let missing = schema(table(10, &[("w", 2, CqlType::Int)]));
    assert!(refused(&missing).contains("no column v"));
    let mut turned = table(10, &[("v", 2, CqlType::Int)]);
    turned.columns[1].kind = ColumnKind::Clustering { descending: true };
    assert!(refused(&schema(turned)).contains("primary key differs"));
}

fn kept(tables: impl IntoIterator<Item = Table>) -> BTreeMap<TableId, Table> {
    tables.into_iter().map(|table| (table.id, table)).collect()
}

#[test]
fn what_was_dropped_does_not_come_back_in_a_table_made_anew() {
    let present = schema(table(10, &[("v", 2, CqlType::Int)]));
    // Once with the same columns, once with others.
    for former in [CqlType::Int, CqlType::Text] {
        let kept = kept([
            table(9, &[("v", 2, former)]),
            table(10, &[("v", 2, CqlType::Int)]),
        ]);
        let wanted = [TableId(9), TableId(10)].into();
        let places = Places::find(&wanted, &kept, &present, false).unwrap();
        assert!(places.targets.keys().eq(&[TableId(10)]));
        assert!(places.notes[0].contains("former table ks.t"));
    }
    // Kept before it was made anew, it goes into its successor.
    let before = kept([table(9, &[("v", 2, CqlType::Int)])]);
    let places = Places::find(&[TableId(9)].into(), &before, &present, false).unwrap();
    assert_eq!(places.targets[&TableId(9)].table, TableId(10));
}

#[test]
fn of_everything_dropped_tables_are_left_out_unless_there_are_no_others() {
    let dropped = Table {
        name: "gone".to_owned(),
        ..table(8, &[])
    };
    let kept = kept([dropped, table(9, &[])]);
    let present = schema(table(9, &[]));
    let both = [TableId(8), TableId(9)].into();
    let places = Places::find(&both, &kept, &present, true).unwrap();
    assert!(places.targets.keys().eq(&[TableId(9)]));
    assert_eq!(
        places.notes,
        ["table ks.gone does not exist any more and is left out"]
    );
    let refused = |wanted, lenient| Places::find(wanted, &kept, &present, lenient).unwrap_err();
    assert!(refused(&both, false).contains("ks.gone does not exist"));
    assert!(refused(&[TableId(8)].into(), true).contains("ks.gone does not exist"));
    // What has no files asks for no place.
    assert!(Places::find(&[TableId(9)].into(), &kept, &present, false).is_ok());
}
