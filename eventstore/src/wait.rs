//! Waiting for something on a network on whatever thread asks.
//!
//! What is waited for lives on a runtime of its own: one that runs elsewhere ([`wait`]), or one that the
//! thread which waits runs meanwhile ([`drive`]).

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Handle, Runtime, RuntimeFlavor};
use tokio::sync::oneshot;

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

/// Runs a runtime until the future is done, on this thread. A worker of another runtime hands its other tasks
/// over first; one that is the only worker has a helper run it.
pub(crate) fn drive<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Err(_) => runtime.block_on(future),
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| runtime.block_on(future)),
        Ok(_) => thread::scope(|scope| {
            let (stop, stopped) = oneshot::channel::<()>();
            scope.spawn(move || runtime.block_on(stopped));
            let _within = runtime.enter();
            let output = park(future);
            drop(stop);
            output
        }),
    }
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
