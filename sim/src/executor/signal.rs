//! "Something changed, look again", for any number of waiting tasks.

use std::{
    future::Future,
    task::{Poll, Waker},
};

use parking_lot::Mutex;

/// Wakes all who wait.
#[derive(Default)]
pub struct Signal {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    round: u64,
    waiting: Vec<Waker>,
}

impl Signal {
    /// Wakes everyone who waits now.
    pub fn raise(&self) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.round += 1;
            std::mem::take(&mut inner.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// Ends at the first [`raise`](Self::raise) after this call (not after the first poll): look at the
    /// condition after calling this and before awaiting it, and no change is missed.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + '_ {
        let round = self.inner.lock().round;
        std::future::poll_fn(move |context| {
            let mut inner = self.inner.lock();
            if inner.round != round {
                return Poll::Ready(());
            }
            inner.waiting.push(context.waker().clone());
            Poll::Pending
        })
    }
}
