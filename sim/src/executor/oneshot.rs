//! One value from one task to another.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

struct Slot<T> {
    value: Option<T>,
    senders: usize,
    waker: Option<Waker>,
}

/// Gives the value. May be cloned: the first value given counts.
pub struct Sender<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// Ends with the value, or `None` when every sender was dropped.
pub struct Receiver<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// Both ends.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        value: None,
        senders: 1,
        waker: None,
    }));
    (Sender { slot: slot.clone() }, Receiver { slot })
}

impl<T> Sender<T> {
    /// Gives the value, if none was given yet.
    pub fn send(&self, value: T) {
        let mut slot = self.slot.lock();
        slot.value.get_or_insert(value);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.slot.lock().senders += 1;
        Self {
            slot: self.slot.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        slot.senders -= 1;
        if slot.senders == 0
            && let Some(waker) = slot.waker.take()
        {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.slot.lock();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.senders == 0 {
            return Poll::Ready(None);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
