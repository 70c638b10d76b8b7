//! The `scylla` crate, unmodified, against three nodes.
//!
//! The cluster is started here, unless `CONTACT=IP:PORT` names one that runs already
//! (`clients-test/run.sh` does that).

mod cluster;
mod errors;
mod others;
mod routing;
mod statements;
mod types;

use std::sync::Arc;

use cluster::Cluster;
use scylla::{client::session::Session, frame::Compression};

/// A session, and a keyspace of its own.
struct Context {
    session: Arc<Session>,
    keyspace: String,
    contact: std::net::SocketAddr,
}

/// One cluster for all: to start it costs more than to use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scylla_crate() {
    let cluster = Cluster::start();
    for (name, compression) in [
        ("plain", None),
        ("lz4", Some(Compression::Lz4)),
        ("snappy", Some(Compression::Snappy)),
    ] {
        let session = Arc::new(cluster.session(compression).await);
        let keyspace = format!("scylla_{name}");
        cluster::run(&session, &format!("DROP KEYSPACE IF EXISTS {keyspace}")).await;
        cluster::create_keyspace(&session, &keyspace, 3).await;
        session.use_keyspace(&keyspace, false).await.unwrap();
        let context = Context {
            session,
            keyspace,
            contact: cluster.contact(),
        };
        routing::check(&context).await;
        statements::check(&context).await;
        types::check(&context).await;
        errors::check(&context).await;
        others::check(&context).await;
        cluster::run(&context.session, &format!("DROP KEYSPACE {}", context.keyspace)).await;
    }
}
