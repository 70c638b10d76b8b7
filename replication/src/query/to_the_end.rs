//! Work that goes on when nobody waits for it any more.
//!
//! A client may go away, or give up, in the middle of its statement. What only reads ends there, and with it what
//! peers were asked. What writes is carried to its end: a write that was sent to some replicas must reach the
//! others too, or a hint be kept for them.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};

use crate::env::Env;

/// A future that goes on as a task of its own if it is dropped before its end.
pub(super) struct ToTheEnd<E: Env, T: Send + 'static> {
    env: E,
    work: Option<BoxFuture<'static, T>>,
}

impl<E: Env, T: Send + 'static> ToTheEnd<E, T> {
    pub(super) fn new(env: &E, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            env: env.clone(),
            work: Some(work.boxed()),
        }
    }
}

impl<E: Env, T: Send + 'static> Future for ToTheEnd<E, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        // Taken out, so that work that panics is not taken up again.
        let mut work = this.work.take().expect("a future is not polled after its end");
        let outcome = work.as_mut().poll(context);
        if outcome.is_pending() {
            this.work = Some(work);
        }
        outcome
    }
}

impl<E: Env, T: Send + 'static> Drop for ToTheEnd<E, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.env.spawn(work.map(drop));
        }
    }
}

// The work is boxed: nothing here is pinned in place.
impl<E: Env, T: Send + 'static> Unpin for ToTheEnd<E, T> {}
