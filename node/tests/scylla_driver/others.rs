//! What other clients change in the schema. The crate registers for events and still reads the schema anew
//! only once a minute, or when it is asked to: so it is asked.

use scylla::client::session::Session;

use crate::{
    Context,
    cluster::{connect, create_keyspace, run},
};

pub(crate) async fn check(context: &Context) {
    let told = format!("{}_told", context.keyspace);
    let other = connect(context.contact, None).await;
    run(&other, &format!("DROP KEYSPACE IF EXISTS {told}")).await;
    create_keyspace(&other, &told, 1).await;
    assert!(is_known(&context.session, &told).await);
    run(&other, &format!("DROP KEYSPACE {told}")).await;
    assert!(!is_known(&context.session, &told).await);
}

async fn is_known(session: &Session, keyspace: &str) -> bool {
    session.refresh_metadata().await.unwrap();
    session.get_cluster_state().get_keyspace(keyspace).is_some()
}
