//! Checks a SELECT against the schema.

use std::{collections::BTreeMap, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Inner,
    item::{Aggregate, Item},
};
use crate::{
    ast::{Select, Selectable, Selection, Term},
    error::Error,
    plan::{
        bind::{Markers, Target},
        expression::Expression,
        function::{self, Function},
        restrictions::{PartitionPart, Restrictions},
        undefined_column,
    },
    result::ColumnSpec,
    schema::{Column, ColumnKind, Table},
    types::CqlType,
    value,
};

pub(super) fn build(select: &Select, table: &Arc<Table>, markers: &mut Markers) -> Result<Inner, Error> {
    let (columns, items) = selection(table, &select.selection, markers)?;
    let aggregates = items.iter().any(Item::is_aggregate);
    let restrictions = Restrictions::new(table, &select.relations, markers)?;
    check_filtering(table, select, &restrictions)?;
    if select.distinct {
        check_distinct(table, select, &restrictions)?;
    }
    let reversed = reversed(table, select, &restrictions)?;
    let mut limit = |term: &Option<Term>, name: &str| {
        let target = Target::of(table, name, CqlType::Int);
        term.as_ref()
            .map(|term| Expression::new(term, &target, markers))
            .transpose()
    };
    let per_partition_limit = limit(&select.per_partition_limit, "[per_partition_limit]")?;
    let limit = limit(&select.limit, "[limit]")?;
    if aggregates && per_partition_limit.is_some() {
        return Err(Error::invalid(
            "PER PARTITION LIMIT is not allowed with aggregate queries.",
        ));
    }
    if select.distinct && per_partition_limit.is_some() {
        return Err(Error::invalid(
            "PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries",
        ));
    }
    // Which columns are looked at: for every SELECT all of them, so that a row's liveness is known.
    let places: BTreeMap<_, _> = table
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| (column.id, place))
        .collect();
    let fingerprint = xxh3_64(format!("{} {select:?}", table.id).as_bytes());
    Ok(Inner {
        table: table.clone(),
        markers: Vec::new(),
        columns: columns.into(),
        items,
        aggregates,
        restrictions,
        distinct: select.distinct,
        reversed,
        ordered: !select.order_by.is_empty(),
        limit,
        per_partition_limit,
        places,
        fingerprint,
    })
}

fn place(table: &Table, name: &str) -> Result<usize, Error> {
    table
        .columns
        .iter()
        .position(|column| column.name == name)
        .ok_or_else(|| undefined_column(name, table))
}

fn selection(
    table: &Table,
    selection: &Selection,
    markers: &mut Markers,
) -> Result<(Vec<ColumnSpec>, Vec<Item>), Error> {
    let spec = |name: &str, cql_type: CqlType| ColumnSpec {
        keyspace: table.keyspace.clone(),
        table: table.name.clone(),
        name: name.to_owned(),
        cql_type,
    };
    let Selection::Some(selectors) = selection else {
        let columns = table
            .columns
            .iter()
            .map(|column| spec(&column.name, column.cql_type.clone()))
            .collect();
        return Ok((columns, (0..table.columns.len()).map(Item::Column).collect()));
    };
    let mut columns = Vec::with_capacity(selectors.len());
    let mut items = Vec::with_capacity(selectors.len());
    for selector in selectors {
        let selected = item(table, &selector.selectable, None, markers)?;
        let name = selector.alias.as_deref().unwrap_or(&selected.name);
        columns.push(spec(name, selected.cql_type));
        items.push(selected.item);
    }
    Ok((columns, items))
}

/// An item with its type and the name that its result column has.
struct Selected {
    item: Item,
    cql_type: CqlType,
    name: String,
}

/// `wanted` is the type that a constant or a marker takes.
fn item(
    table: &Table,
    selectable: &Selectable,
    wanted: Option<&CqlType>,
    markers: &mut Markers,
) -> Result<Selected, Error> {
    match selectable {
        Selectable::Column(name) => {
            let place = place(table, name)?;
            let cql_type = table.columns[place].cql_type.clone();
            Ok(Selected {
                item: Item::Column(place),
                cql_type,
                name: name.clone(),
            })
        }
        Selectable::CountRows => Ok(Selected {
            item: Item::Aggregate(Aggregate::Count(None)),
            cql_type: CqlType::Bigint,
            name: "count".to_owned(),
        }),
        Selectable::Cast { inner, cql_type } => {
            let inner = item(table, inner, None, markers)?;
            if !function::can_cast(&inner.cql_type, cql_type) {
                return Err(Error::invalid(format!(
                    "{} cannot be cast to {cql_type}",
                    inner.cql_type
                )));
            }
            let cast = Function::Cast(inner.cql_type, cql_type.clone());
            let name = format!("cast({} as {cql_type})", inner.name);
            Ok(Selected {
                item: Item::Call(cast, vec![inner.item]),
                cql_type: cql_type.clone(),
                name,
            })
        }
        Selectable::Call { name, arguments } => call(table, name, arguments, markers),
        Selectable::Term(term) => constant(term, wanted, markers),
    }
}

fn constant(term: &Term, wanted: Option<&CqlType>, markers: &mut Markers) -> Result<Selected, Error> {
    let cql_type = match (term, wanted) {
        (_, Some(wanted)) => wanted.clone(),
        (Term::Hint { cql_type, .. }, None) => cql_type.clone(),
        (Term::Literal(literal), None) => value::type_of(literal)
            .ok_or_else(|| Error::invalid("the type of a selected null can't be known; add a type hint"))?,
        _ => {
            return Err(Error::invalid(
                "the type of a selected term can't be known; add a type hint such as (int)",
            ));
        }
    };
    let expression = Expression::new(term, &Target::named("[selection]", &cql_type), markers)?;
    Ok(Selected {
        item: Item::Fixed(expression),
        cql_type,
        name: "term".to_owned(),
    })
}

fn call(
    table: &Table,
    name: &str,
    arguments: &[Selectable],
    markers: &mut Markers,
) -> Result<Selected, Error> {
    match name {
        "writetime" | "ttl" => return cell_property(table, name, arguments),
        "token" => return token(table, arguments),
        "count" | "min" | "max" | "sum" | "avg" => return aggregate(table, name, arguments, markers),
        "maxwritetime" => return Err(Error::unsupported("maxwritetime()")),
        _ => {}
    }
    let first = match arguments.first() {
        Some(Selectable::Term(_)) | None => None,
        Some(argument) => Some(item(table, argument, None, &mut Markers::default())?.cql_type),
    };
    let signature = function::signature(name, first.as_ref()).ok_or_else(|| function::unknown(name))?;
    function::check_count(name, signature.parameters.len(), arguments.len())?;
    let mut items = Vec::new();
    let mut names = Vec::new();
    for (argument, parameter) in arguments.iter().zip(&signature.parameters) {
        let selected = item(table, argument, Some(parameter), markers)?;
        function::check_assignable(&selected.cql_type, &Target::named(name, parameter))?;
        items.push(selected.item);
        names.push(selected.name);
    }
    Ok(Selected {
        item: Item::Call(signature.function, items),
        cql_type: signature.returns,
        name: format!("system.{name}({})", names.join(", ")),
    })
}

fn cell_property(table: &Table, name: &str, arguments: &[Selectable]) -> Result<Selected, Error> {
    let [Selectable::Column(column_name)] = arguments else {
        return Err(Error::invalid(format!("{name}() takes one column")));
    };
    let place = place(table, column_name)?;
    let column = &table.columns[place];
    if column.kind.is_key() {
        return Err(Error::invalid(format!(
            "Cannot use selection function {name} on PRIMARY KEY part {column_name}"
        )));
    }
    if column.cql_type.is_multi_cell() {
        return Err(Error::invalid(format!(
            "Cannot use selection function {name} on non-frozen collection {column_name}"
        )));
    }
    let (item, cql_type) = if name == "ttl" {
        (Item::Ttl(place), CqlType::Int)
    } else {
        (Item::Writetime(place), CqlType::Bigint)
    };
    Ok(Selected {
        item,
        cql_type,
        name: format!("{name}({column_name})"),
    })
}

fn token(table: &Table, arguments: &[Selectable]) -> Result<Selected, Error> {
    let key: Vec<&str> = table
        .partition_key()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let given: Option<Vec<&str>> = arguments
        .iter()
        .map(|argument| match argument {
            Selectable::Column(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if given.as_ref() != Some(&key) {
        return Err(Error::invalid(format!(
            "the arguments of token() are the columns of the partition key, in order: {}",
            key.join(", ")
        )));
    }
    Ok(Selected {
        item: Item::Token,
        cql_type: CqlType::Bigint,
        name: format!("system.token({})", key.join(", ")),
    })
}

fn aggregate(
    table: &Table,
    name: &str,
    arguments: &[Selectable],
    markers: &mut Markers,
) -> Result<Selected, Error> {
    function::check_count(name, 1, arguments.len())?;
    let inner = item(table, &arguments[0], None, markers)?;
    if inner.item.is_aggregate() {
        return Err(Error::invalid(
            "aggregate functions cannot be used as arguments of aggregate functions",
        ));
    }
    let (inner_type, inner_item) = (inner.cql_type, Box::new(inner.item));
    let is_number = matches!(
        inner_type,
        CqlType::Tinyint
            | CqlType::Smallint
            | CqlType::Int
            | CqlType::Bigint
            | CqlType::Varint
            | CqlType::Float
            | CqlType::Double
    );
    let (aggregate, cql_type) = match name {
        "count" => (Aggregate::Count(Some(inner_item)), CqlType::Bigint),
        "min" | "max" if inner_type.is_multi_cell() || !inner_type.has_order() => {
            return Err(Error::unsupported(format!("{name}() of {inner_type} values")));
        }
        "min" => (Aggregate::Min(inner_item, inner_type.clone()), inner_type),
        "max" => (Aggregate::Max(inner_item, inner_type.clone()), inner_type),
        _ if !is_number => return Err(Error::unsupported(format!("{name}() of {inner_type} values"))),
        "sum" => (Aggregate::Sum(inner_item, inner_type.clone()), inner_type),
        _ => (Aggregate::Avg(inner_item, inner_type.clone()), inner_type),
    };
    Ok(Selected {
        item: Item::Aggregate(aggregate),
        cql_type,
        name: format!("system.{name}({})", inner.name),
    })
}

const NEEDS_FILTERING: &str = "Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING";

fn check_filtering(table: &Table, select: &Select, restrictions: &Restrictions) -> Result<(), Error> {
    if select.allow_filtering || !restrictions.needs_filtering {
        return Ok(());
    }
    let by_key = matches!(restrictions.partition, PartitionPart::Keys(_));
    let stray = restrictions
        .filters
        .iter()
        .find(|filter| matches!(filter.column.kind, ColumnKind::Clustering { .. }));
    if let Some(filter) = stray
        && by_key
        && restrictions
            .filters
            .iter()
            .all(|filter| filter.column.kind.is_key())
    {
        let preceding = &table.clustering()[restrictions.clustering.fixed()];
        let name = &filter.column.name;
        if preceding.id == filter.column.id {
            return Err(Error::invalid(NEEDS_FILTERING));
        }
        return Err(Error::invalid(if restrictions.clustering.is_slice() {
            format!(
                "Clustering column \"{name}\" cannot be restricted (preceding column \"{}\" is restricted by a non-EQ relation)",
                preceding.name
            )
        } else {
            format!(
                "PRIMARY KEY column \"{name}\" cannot be restricted as preceding column \"{}\" is not restricted",
                preceding.name
            )
        }));
    }
    Err(Error::invalid(NEEDS_FILTERING))
}

fn check_distinct(table: &Table, select: &Select, restrictions: &Restrictions) -> Result<(), Error> {
    let Selection::Some(selectors) = &select.selection else {
        return Err(Error::invalid(
            "SELECT DISTINCT queries must only request partition key columns and/or static columns",
        ));
    };
    let mut requested = Vec::new();
    for selector in selectors {
        let Selectable::Column(name) = &selector.selectable else {
            return Err(Error::invalid(
                "SELECT DISTINCT queries must only request partition key columns and/or static columns",
            ));
        };
        let column = &table.columns[place(table, name)?];
        if !matches!(column.kind, ColumnKind::PartitionKey | ColumnKind::Static) {
            return Err(Error::invalid(format!(
                "SELECT DISTINCT queries must only request partition key columns and/or static columns (not {name})"
            )));
        }
        requested.push(name);
    }
    if let Some(missing) = table
        .partition_key()
        .iter()
        .find(|column| !requested.contains(&&column.name))
    {
        return Err(Error::invalid(format!(
            "SELECT DISTINCT queries must request all the partition key columns (missing {})",
            missing.name
        )));
    }
    let by_row = |column: &Column| matches!(column.kind, ColumnKind::Clustering { .. } | ColumnKind::Regular);
    if !restrictions.clustering.is_empty() || restrictions.filters.iter().any(|filter| by_row(&filter.column))
    {
        return Err(Error::invalid(
            "SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or static columns.",
        ));
    }
    Ok(())
}

/// Whether ORDER BY asks for the reverse of the table's order.
fn reversed(table: &Table, select: &Select, restrictions: &Restrictions) -> Result<bool, Error> {
    if select.order_by.is_empty() {
        return Ok(false);
    }
    if !matches!(restrictions.partition, PartitionPart::Keys(_)) {
        return Err(Error::invalid(
            "ORDER BY is only supported when the partition key is restricted by an EQ or an IN.",
        ));
    }
    // Columns that have one value may be left out.
    let fixed: Vec<&Column> = restrictions
        .clustering
        .segments
        .iter()
        .flat_map(|segment| &segment.columns)
        .collect();
    let mut columns = table.clustering().iter();
    let mut reversed = None;
    for (name, descending) in &select.order_by {
        let column = loop {
            match columns.next() {
                Some(column) if column.name == *name => break column,
                Some(skipped) if fixed.iter().any(|fixed| fixed.id == skipped.id) => {}
                _ => {
                    place(table, name)?;
                    return Err(Error::invalid(format!(
                        "Order by is currently only supported on the clustered columns of the PRIMARY KEY, in their order, got {name}"
                    )));
                }
            }
        };
        let turned = column.is_descending() != *descending;
        if reversed.is_some_and(|reversed| reversed != turned) {
            return Err(Error::invalid("Unsupported order by relation"));
        }
        reversed = Some(turned);
    }
    Ok(reversed.unwrap_or(false))
}
