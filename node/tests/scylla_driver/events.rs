//! What the server tells without being asked.

use crate::{
    Context,
    cluster::{connect, create_keyspace, run, until},
};

pub(crate) async fn check(context: &Context) {
    let told = format!("{}_told", context.keyspace);
    let other = connect(context.contact, None).await;
    run(&other, &format!("DROP KEYSPACE IF EXISTS {told}")).await;
    create_keyspace(&other, &told, 1).await;
    let known = |session: &scylla::client::session::Session| {
        session.get_cluster_state().get_keyspace(&told).is_some()
    };
    until("the new keyspace is known", &context.session, known).await;
    run(&other, &format!("DROP KEYSPACE {told}")).await;
    until("the dropped keyspace is gone", &context.session, |session| {
        !known(session)
    })
    .await;
}
