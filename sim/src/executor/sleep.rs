//! Waiting for virtual time to pass.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::Handle;

/// Ends at a point of virtual time. Dropping it stops its timer.
pub struct Sleep {
    handle: Handle,
    deadline: Duration,
    timer: Option<(Duration, u64)>,
}

impl Sleep {
    pub(super) fn new(handle: Handle, deadline: Duration) -> Self {
        Self {
            handle,
            deadline,
            timer: None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = self.timer.take() {
            self.handle.remove_timer(timer);
        }
        if self.handle.now() >= self.deadline {
            return Poll::Ready(());
        }
        // The waker may be another one at every poll.
        let timer = self.handle.add_timer(self.deadline, context.waker().clone());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.handle.remove_timer(timer);
        }
    }
}
