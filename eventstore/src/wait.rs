//! Waiting for something on a network on whatever thread asks.
//!
//! The connections live on a runtime of their own, so an answer comes even while the thread that
//! waits for it belongs to another one.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Handle, RuntimeFlavor};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until the future is done. A worker of a runtime hands its other tasks over first.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    blocking(|| park(future))
}

/// Does something that may block a thread for a while, such as waiting for a lock that is held over a
/// network. A worker of a runtime hands its other tasks over first.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let worker = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if worker { tokio::task::block_in_place(work) } else { work() }
}

fn park<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
