//! A few futures that are waited for together.
//!
//! Each wake polls all of them. For the replicas of one request that costs less than a queue of those that woke, which
//! needs memory of its own and more for each future.

use std::{future::Future, task::Poll};

use futures::FutureExt;

/// Futures, each polled until it ends. Dropping it drops those that have not ended.
pub(crate) struct Few<F>(Vec<F>);

impl<F: Future + Unpin> Few<F> {
    /// One more. It is first polled when [`next`](Self::next) is, after those that are there.
    pub(crate) fn push(&mut self, future: F) {
        self.0.push(future);
    }

    /// Whether all have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the next one ends with, the first one first if several have; `None` when there is none. May be dropped and
    /// asked again.
    pub(crate) fn next(&mut self) -> impl Future<Output = Option<F::Output>> + '_ {
        std::future::poll_fn(|context| {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            for at in 0..self.0.len() {
                if let Poll::Ready(output) = self.0[at].poll_unpin(context) {
                    self.0.remove(at);
                    return Poll::Ready(Some(output));
                }
            }
            Poll::Pending
        })
    }
}

impl<F> Default for Few<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F> FromIterator<F> for Few<F> {
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> Self {
        Self(futures.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use futures::{channel::oneshot, executor::block_on, poll};

    use super::*;

    #[test]
    fn each_ends_once_whatever_the_order() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let mut few: Few<_> = receivers.into_iter().collect();
        block_on(async {
            assert!(poll!(few.next()).is_pending());
            for (at, sender) in senders.into_iter().enumerate().rev() {
                sender.send(at).unwrap();
                assert_eq!(few.next().await, Some(Ok(at)));
            }
            assert!(few.is_empty());
            assert_eq!(few.next().await, None);
            few.push(oneshot::channel().1);
            assert_eq!(few.next().await, Some(Err(oneshot::Canceled)));
        });
    }
}
