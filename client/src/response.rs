//! What comes back.

use bytes::Bytes;
use serde::Deserialize;
use starling_cql::{ColumnSpec, QueryResult, SchemaChange, request::Value};
use uuid::Uuid;

use crate::{decoding, error::Error};

/// The answer to a statement.
#[derive(Debug, Clone)]
pub struct Response {
    result: QueryResult,
    trace: Option<Uuid>,
    warnings: Vec<String>,
}

impl Response {
    pub(crate) fn new(result: QueryResult, trace: Option<u128>, warnings: Vec<String>) -> Self {
        Self {
            result,
            trace: trace.map(Uuid::from_u128),
            warnings,
        }
    }

    /// The rows, or an error if the statement returns none.
    pub fn rows(self) -> Result<Rows, Error> {
        match self.result {
            QueryResult::Rows(rows) => Ok(Rows(rows)),
            _ => Err(Error::invalid(
                "the statement was carried out and returns no rows",
            )),
        }
    }

    /// What the server answered.
    pub fn result(&self) -> &QueryResult {
        &self.result
    }

    /// The schema change, if the statement made one.
    pub fn schema_change(&self) -> Option<&SchemaChange> {
        match &self.result {
            QueryResult::SchemaChange(change) => Some(change),
            _ => None,
        }
    }

    /// The id of the trace, if one was asked for and recorded: the key of `system_traces.sessions`.
    pub fn trace(&self) -> Option<Uuid> {
        self.trace
    }

    /// What the server wants the user to know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A page of rows.
#[derive(Debug, Clone)]
pub struct Rows(pub(crate) starling_cql::Rows);

impl Rows {
    /// The columns, in order.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.0.columns
    }

    /// How many rows the page has.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether the page has no row. More pages may follow all the same.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Where the next page begins; `None` on the last.
    pub fn paging_state(&self) -> Option<&Bytes> {
        self.0.paging_state.as_ref()
    }

    /// The rows as `T`: a struct takes columns by name, a tuple by position, anything else a single column.
    ///
    /// ```
    /// # use starling_client::{ColumnSpec, CqlType, Rows};
    /// # let column = |name: &str, cql_type| ColumnSpec {
    /// #     keyspace: "k".into(), table: "t".into(), name: name.into(), cql_type,
    /// # };
    /// # let rows = Rows::from_parts(
    /// #     vec![column("name", CqlType::Text), column("age", CqlType::Int)],
    /// #     vec![vec![Some("Ada".into()), Some(bytes::Bytes::from_static(&[0, 0, 0, 36]))],
    /// #          vec![Some("Bob".into()), None]],
    /// # );
    /// #[derive(serde::Deserialize, Debug, PartialEq)]
    /// struct Person<'a> {
    ///     name: &'a str,
    ///     age: Option<i32>,
    /// }
    ///
    /// let people: Vec<Person> = rows.typed().collect::<Result<_, _>>()?;
    /// assert_eq!(people, [Person { name: "Ada", age: Some(36) }, Person { name: "Bob", age: None }]);
    ///
    /// let pairs: Vec<(String, Option<i64>)> = rows.typed().collect::<Result<_, _>>()?;
    /// assert_eq!(pairs[0], ("Ada".to_owned(), Some(36)));
    ///
    /// let wrong = rows.typed::<(i32, i32)>().next().unwrap().unwrap_err();
    /// assert!(wrong.to_string().contains("name"), "{wrong}");
    /// # Ok::<(), starling_client::Error>(())
    /// ```
    pub fn typed<'r, T: Deserialize<'r>>(&'r self) -> impl ExactSizeIterator<Item = Result<T, Error>> + 'r {
        self.0.rows.iter().map(|row| decoding::row(&self.0.columns, row))
    }

    /// The rows, each with access to its columns.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.0.rows.iter().map(|values| Row {
            columns: &self.0.columns,
            values,
        })
    }

    /// The first row as `T`, or `None` if there is no row.
    pub fn first<'r, T: Deserialize<'r>>(&'r self) -> Result<Option<T>, Error> {
        self.typed().next().transpose()
    }

    /// Rows from columns and serialized values, as a server would send them: for tests.
    pub fn from_parts(columns: Vec<ColumnSpec>, rows: Vec<Vec<Option<Bytes>>>) -> Self {
        Self(starling_cql::Rows {
            columns: columns.into(),
            rows,
            paging_state: None,
        })
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'r> {
    columns: &'r [ColumnSpec],
    values: &'r [Value],
}

impl<'r> Row<'r> {
    /// The column of this name, as `T`.
    pub fn get<T: Deserialize<'r>>(&self, name: &str) -> Result<T, Error> {
        let index = self.columns.iter().position(|column| column.name == name);
        let Some(index) = index else {
            return Err(Error::types(format!("the result has no column '{name}'")));
        };
        let value = self.values.get(index).and_then(Option::as_ref);
        decoding::column(&self.columns[index], value)
    }

    /// The columns.
    pub fn columns(&self) -> &'r [ColumnSpec] {
        self.columns
    }

    /// The serialized values; `None` is null.
    pub fn values(&self) -> &'r [Option<Bytes>] {
        self.values
    }
}
