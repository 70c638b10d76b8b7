//! Until when an answer is worth something.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use futures::{
    future::{Either, select},
    poll,
};

use crate::env::Env;

/// A point on the node's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Duration);

impl Deadline {
    /// `timeout` after some moment of the monotonic clock.
    pub(crate) fn since(moment: Duration, timeout: Duration) -> Self {
        Self(moment.saturating_add(timeout))
    }

    /// `timeout` from now.
    pub(crate) fn after<E: Env>(env: &E, timeout: Duration) -> Self {
        Self::since(env.monotonic(), timeout)
    }

    /// What is left; zero when it has passed.
    pub(crate) fn remaining<E: Env>(self, env: &E) -> Duration {
        self.0.saturating_sub(env.monotonic())
    }

    /// Whether it has passed.
    pub(crate) fn is_over<E: Env>(self, env: &E) -> bool {
        self.remaining(env).is_zero()
    }

    /// The future's result, or `None` when the deadline passes first; the future is dropped then.
    pub(crate) async fn within<E: Env, F: Future>(self, env: &E, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        // Most of what is asked of this node's own storage is there at once, and a timer costs as much.
        if let Poll::Ready(output) = poll!(&mut future) {
            return Some(output);
        }
        let sleep = env.sleep(self.remaining(env));
        match select(future, pin!(sleep)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }
}
