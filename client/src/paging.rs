//! Pages as a stream of rows.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, future::BoxFuture};
use serde::de::DeserializeOwned;
use starling_cql::ColumnSpec;
use std::sync::Arc;

use crate::{decoding, error::Error, response::Rows};

/// Fetches the page that begins at a paging state.
pub(crate) type Fetch = Box<dyn FnMut(Option<Bytes>) -> BoxFuture<'static, Result<Rows, Error>> + Send>;

/// All rows of a result, page after page, each page asked for when the one before is used up.
///
/// Dropping the stream ends it; an error ends it too.
pub struct RowStream {
    fetch: Fetch,
    fetching: Option<BoxFuture<'static, Result<Rows, Error>>>,
    columns: Arc<[ColumnSpec]>,
    buffered: VecDeque<Vec<Option<Bytes>>>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Page(Option<Bytes>),
    End,
}

impl std::fmt::Debug for RowStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowStream")
            .field("buffered", &self.buffered.len())
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// A row that owns what it needs.
#[derive(Debug, Clone)]
pub struct OwnedRow {
    columns: Arc<[ColumnSpec]>,
    values: Vec<Option<Bytes>>,
}

impl OwnedRow {
    /// The columns.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// The serialized values; `None` is null.
    pub fn values(&self) -> &[Option<Bytes>] {
        &self.values
    }

    /// The row as `T`, as [`Rows::typed`] does it.
    pub fn typed<'r, T: serde::Deserialize<'r>>(&'r self) -> Result<T, Error> {
        decoding::row(&self.columns, &self.values)
    }
}

impl RowStream {
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self {
            fetch,
            fetching: None,
            columns: Arc::new([]),
            buffered: VecDeque::new(),
            next: Next::Page(None),
        }
    }

    /// Rows as `T`, as [`Rows::typed`] does it.
    pub fn typed<T: DeserializeOwned>(self) -> TypedRowStream<T> {
        TypedRowStream {
            rows: self,
            marker: PhantomData,
        }
    }

    fn accept(&mut self, page: Rows) {
        let page = page.0;
        self.columns = page.columns;
        self.buffered = page.rows.into();
        self.next = match page.paging_state {
            Some(state) => Next::Page(Some(state)),
            None => Next::End,
        };
    }
}

impl Stream for RowStream {
    type Item = Result<OwnedRow, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(values) = this.buffered.pop_front() {
                return Poll::Ready(Some(Ok(OwnedRow {
                    columns: Arc::clone(&this.columns),
                    values,
                })));
            }
            if let Some(fetching) = &mut this.fetching {
                let page = ready!(fetching.as_mut().poll(context));
                this.fetching = None;
                match page {
                    Ok(page) => this.accept(page),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                continue;
            }
            match std::mem::replace(&mut this.next, Next::End) {
                Next::Page(state) => this.fetching = Some((this.fetch)(state)),
                Next::End => return Poll::Ready(None),
            }
        }
    }
}

/// All rows of a result as `T`. See [`RowStream::typed`].
#[derive(Debug)]
pub struct TypedRowStream<T> {
    rows: RowStream,
    marker: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Stream for TypedRowStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let row = ready!(self.rows.poll_next_unpin(context));
        Poll::Ready(row.map(|row| row.and_then(|row| row.typed())))
    }
}
