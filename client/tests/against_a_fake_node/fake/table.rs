//! One table that takes any INSERT and gives all rows, page by page.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use starling_client::ColumnSpec;
use starling_cql::{
    Error, PreparedMetadata, QueryParameters, QueryResult, Rows, Statement, Values,
    native::{Request, Response},
    request::Bound,
};

use super::{Reply, result, void};

pub(crate) type Row = Vec<Option<Bytes>>;

/// The content. Its first column is the partition key.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) columns: Arc<Vec<ColumnSpec>>,
    pub(crate) rows: Arc<Mutex<Vec<Row>>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<ColumnSpec>) -> Self {
        Self {
            columns: Arc::new(columns),
            rows: Arc::default(),
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap().clone()
    }

    /// Answers PREPARE and EXECUTE of INSERT and SELECT; `None` for anything else.
    pub(crate) fn answer(&self, request: &Request) -> Option<Reply> {
        match request {
            Request::Prepare { query, .. } => Some(Response::Prepared(self.prepare(query)).into()),
            Request::Execute {
                statement: Statement::Prepared(id),
                parameters,
                ..
            } => {
                let text = String::from_utf8(id.to_vec()).unwrap();
                Some(if text.starts_with("INSERT") {
                    self.insert(&text, &parameters.values)
                } else {
                    self.select(&text, parameters)
                })
            }
            Request::Execute {
                statement: Statement::Text(text),
                parameters,
                ..
            } if text.starts_with("SELECT") => Some(self.select(text, parameters)),
            _ => None,
        }
    }

    /// The columns that a statement names between `open` and `close`.
    fn named(&self, text: &str, open: &str, close: &str) -> Vec<usize> {
        let from = text.find(open).unwrap() + open.len();
        let to = from + text[from..].find(close).unwrap();
        if text[from..to].trim() == "*" {
            return (0..self.columns.len()).collect();
        }
        let names = text[from..to]
            .split(',')
            .map(|name| name.trim().trim_matches('"'));
        names
            .map(|name| {
                self.columns
                    .iter()
                    .position(|column| column.name == name)
                    .unwrap()
            })
            .collect()
    }

    fn prepare(&self, query: &str) -> PreparedMetadata {
        let spec = |indexes: Vec<usize>| indexes.into_iter().map(|at| self.columns[at].clone()).collect();
        let is_insert = query.starts_with("INSERT");
        PreparedMetadata {
            id: Bytes::copy_from_slice(query.as_bytes()),
            result_id: Bytes::new(),
            markers: if is_insert {
                spec(self.named(query, "(", ")"))
            } else {
                Vec::new()
            },
            partition_key: if is_insert { vec![0] } else { Vec::new() },
            columns: if is_insert {
                Vec::new()
            } else {
                spec(self.named(query, "SELECT ", " FROM"))
            },
        }
    }

    fn insert(&self, text: &str, values: &Values) -> Reply {
        let Values::Positional(values) = values else {
            panic!("values by name")
        };
        let mut row = vec![None; self.columns.len()];
        for (index, value) in self.named(text, "(", ")").into_iter().zip(values) {
            row[index] = match value {
                Bound::Value(value) => value.clone(),
                Bound::Unset => None,
            };
        }
        if row[0].is_none() {
            return Response::Error(Error::invalid("the partition key is null")).into();
        }
        self.rows.lock().unwrap().push(row);
        void().into()
    }

    fn select(&self, text: &str, parameters: &QueryParameters) -> Reply {
        let indexes = self.named(text, "SELECT ", " FROM");
        let rows = self.rows.lock().unwrap();
        let from = parameters
            .paging_state
            .as_ref()
            .map_or(0, |state| std::str::from_utf8(state).unwrap().parse().unwrap());
        let to = rows.len().min(
            from + parameters
                .page_size
                .map_or(usize::MAX - from, |size| size as usize),
        );
        let page = rows[from..to]
            .iter()
            .map(|row| indexes.iter().map(|index| row[*index].clone()).collect())
            .collect();
        result(QueryResult::Rows(Rows {
            columns: indexes.iter().map(|index| self.columns[*index].clone()).collect(),
            rows: page,
            paging_state: (to < rows.len()).then(|| Bytes::from(to.to_string())),
        }))
        .into()
    }
}
