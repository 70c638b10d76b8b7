//! A node that can die or stop, as a process does: it runs on a thread of its own.

use std::{net::SocketAddr, sync::mpsc, thread::JoinHandle};

use tokio::{runtime, sync::oneshot};

use super::{Handler, accept, listen};

/// A node on a thread and a runtime of its own. A handler that blocks stops all of it: not even packets are acknowledged.
pub(crate) struct ApartNode {
    pub(crate) address: SocketAddr,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ApartNode {
    pub(crate) fn start(make: impl FnOnce(SocketAddr) -> Handler + Send + 'static) -> Self {
        let (tell, told) = mpsc::channel();
        let (kill, killed) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (endpoint, _, _files) = listen();
                let address = endpoint.local_addr().unwrap();
                tell.send(address).unwrap();
                tokio::spawn(accept(endpoint, make(address)));
                let _ = killed.await;
            });
            // What runs is dropped where it is: no connection says goodbye.
            drop(runtime);
        });
        Self {
            address: told.recv().unwrap(),
            kill: Some(kill),
            thread: Some(thread),
        }
    }

    /// Ends without a word to its clients. Its handler must not be blocked.
    pub(crate) fn kill(&mut self) {
        self.kill = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
