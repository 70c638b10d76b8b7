//! Tests of the listener: real sockets, and a backend that does what the statement's text says.

mod admission;
mod events;
mod fake;
mod garbage;
mod load;
mod negotiation;
mod raw;
mod requests;
mod stopping;

use starling_cql::protocol::Version;
use tokio::net::TcpListener;

use self::{fake::Fake, raw::Client};
use super::{Options, Server, serve};

const BOTH: [Version; 2] = Version::ALL;

/// A listener on a free port.
async fn server_with(options: Options) -> (Server, Fake) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Fake::default();
    (serve(listener, fake.clone(), options).unwrap(), fake)
}

async fn server() -> (Server, Fake) {
    server_with(Options::default()).await
}

/// A client whose handshake is done.
async fn open(server: &Server, version: Version) -> Client {
    let mut client = Client::connect(server).await;
    client.open(version, &[]).await;
    client
}
