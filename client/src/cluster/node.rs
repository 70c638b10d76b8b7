//! A node as the client sees it: an address, and a connection that is kept up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time,
};

use super::backoff::Backoff;
use crate::{
    connection::{Connection, Dialer},
    error::{Error, ErrorKind},
};

/// How the connection is.
#[derive(Debug, Clone)]
enum State {
    Connecting,
    Up(Arc<Connection>),
    Down(Error),
}

/// One node. A task of its own connects, and connects again with backoff, until the value is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    address: SocketAddr,
    state: watch::Receiver<State>,
    retry: Arc<Notify>,
    keeper: AbortHandle,
}

impl Node {
    pub(crate) fn start(address: SocketAddr, dialer: Arc<Dialer>) -> Arc<Self> {
        let (sender, state) = watch::channel(State::Connecting);
        let retry = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(address, dialer, sender, Arc::clone(&retry))).abort_handle();
        Arc::new(Self {
            address,
            state,
            retry,
            keeper,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection, if there is one now.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Up(connection) if connection.is_open() => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// The connection, once there is one; an error if it can't be had.
    ///
    /// While the node is known to be down, that is said at once and no attempt is waited for.
    pub(crate) async fn connected(&self) -> Result<Arc<Connection>, Error> {
        let mut state = self.state.clone();
        let state = state
            .wait_for(|state| !matches!(state, State::Connecting))
            .await
            .map_err(|_| Error::closed())?;
        match &*state {
            State::Up(connection) if connection.is_open() => Ok(Arc::clone(connection)),
            State::Down(error) => Err(error.clone()),
            State::Up(_) | State::Connecting => Err(Error::new(
                ErrorKind::Connection,
                format!("the connection to {} is down", self.address),
            )),
        }
    }

    /// The connection, however long it takes to come up.
    pub(crate) async fn up(&self) -> Result<Arc<Connection>, Error> {
        let mut state = self.state.clone();
        let state = state
            .wait_for(|state| matches!(state, State::Up(connection) if connection.is_open()))
            .await
            .map_err(|_| Error::closed())?;
        match &*state {
            State::Up(connection) => Ok(Arc::clone(connection)),
            State::Connecting | State::Down(_) => unreachable!("it was waited for"),
        }
    }

    /// Why there is no connection now, if that is known.
    pub(crate) fn failure(&self) -> Option<Error> {
        match &*self.state.borrow() {
            State::Down(error) => Some(error.clone()),
            State::Up(_) | State::Connecting => None,
        }
    }

    /// Ends the pause before the next attempt, because the node is said to be up.
    pub(crate) fn retry_now(&self) {
        if self.connection().is_none() {
            self.retry.notify_one();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Connects until the task is aborted.
async fn keep(address: SocketAddr, dialer: Arc<Dialer>, state: watch::Sender<State>, retry: Arc<Notify>) {
    let mut backoff = Backoff::default();
    loop {
        let failure = match dialer.dial(address).await {
            Ok(connection) => {
                backoff = Backoff::default();
                let connection = Arc::new(connection);
                state.send_replace(State::Up(Arc::clone(&connection)));
                tracing::debug!(%address, "connected");
                connection.closed().await
            }
            Err(error) => error,
        };
        tracing::debug!(%address, error = %failure, "not connected");
        let pause: Duration = backoff.next_pause();
        state.send_replace(State::Down(failure));
        // A hint that the node is up ends the pause; there is no harm in one that came earlier.
        let _ = time::timeout(pause, retry.notified()).await;
    }
}
