//! One thread that runs asynchronous actions, unless a host is given a spawner of another executor.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{Sender, channel},
    },
    task::{Context, Wake, Waker},
};

use crate::lock;

/// A future that owns what it uses.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs futures to their ends. They catch their own panics.
pub type Spawner = Arc<dyn Fn(BoxFuture<()>) + Send + Sync>;

struct Task {
    /// Nothing once it is done, and while it is polled.
    future: Mutex<Option<BoxFuture<()>>>,
    queue: Sender<Arc<Task>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        // The thread never ends, so there is always a receiver.
        let _ = queue.send(self);
    }
}

/// The process's own executor.
pub(crate) fn spawner() -> Spawner {
    static QUEUE: OnceLock<Sender<Arc<Task>>> = OnceLock::new();
    let queue = QUEUE.get_or_init(|| {
        let (sender, receiver) = channel::<Arc<Task>>();
        // Without the thread, asynchronous actions time out at their callers.
        let _ = std::thread::Builder::new().name("mirror-actions".into()).spawn(move || {
            for task in receiver {
                let waker = Waker::from(task.clone());
                let mut slot = lock(&task.future);
                if let Some(future) = &mut *slot
                    && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                {
                    *slot = None;
                }
            }
        });
        sender
    });
    let queue = queue.clone();
    Arc::new(move |future| {
        Arc::new(Task { future: Mutex::new(Some(future)), queue: queue.clone() }).wake();
    })
}

/// Runs a future on this thread until it is done.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Lets other tasks run once.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
}
