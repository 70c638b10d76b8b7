//! What the driver knows of the ring and the schema, and where it sends requests.

use std::collections::BTreeSet;

use crate::{
    Context,
    cluster::{create_keyspace, rows, run},
};

pub(crate) async fn check(context: &Context) {
    three_nodes(context);
    schema(context).await;
    only_replica(context).await;
}

fn three_nodes(context: &Context) {
    let state = context.session.get_cluster_state();
    let addresses: BTreeSet<_> = state
        .get_nodes_info()
        .iter()
        .map(|node| node.address.ip().to_string())
        .collect();
    let expected = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(str::to_owned);
    assert_eq!(addresses, BTreeSet::from(expected));
    for node in state.get_nodes_info() {
        assert!(node.datacenter.is_some() && node.rack.is_some());
    }
    assert_eq!(state.replica_locator().ring().len(), 48);
}

async fn schema(context: &Context) {
    let session = &context.session;
    run(
        session,
        "CREATE TABLE birds (flock text, ring int, seen timestamp, place text static, tags set<text>, \
         PRIMARY KEY ((flock, ring), seen)) WITH CLUSTERING ORDER BY (seen DESC)",
    )
    .await;
    session.refresh_metadata().await.unwrap();
    let state = session.get_cluster_state();
    let table = &state.get_keyspace(&context.keyspace).unwrap().tables["birds"];
    assert_eq!(table.partition_key, ["flock", "ring"]);
    assert_eq!(table.clustering_key, ["seen"]);
    assert_eq!(table.columns.len(), 5);
}

async fn only_replica(context: &Context) {
    let session = &context.session;
    let alone = format!("{}_alone", context.keyspace);
    run(session, &format!("DROP KEYSPACE IF EXISTS {alone}")).await;
    create_keyspace(session, &alone, 1).await;
    run(
        session,
        &format!("CREATE TABLE {alone}.t (k int PRIMARY KEY, v text)"),
    )
    .await;
    session.refresh_metadata().await.unwrap();
    let insert = session
        .prepare(format!("INSERT INTO {alone}.t (k, v) VALUES (?, ?)"))
        .await
        .unwrap();
    assert!(insert.is_token_aware());
    let mut used = BTreeSet::new();
    for key in 0..60 {
        let result = session.execute_unpaged(&insert, (key, "v")).await.unwrap();
        let state = session.get_cluster_state();
        let replicas = state.get_endpoints(&alone, "t", &(key,)).unwrap();
        let [(replica, _)] = &replicas[..] else {
            panic!("{} replicas", replicas.len())
        };
        assert_eq!(result.request_coordinator().node().host_id, replica.host_id);
        used.insert(replica.host_id);
        // The server computes the same token.
        let token = state.compute_token(&alone, "t", &(key,)).unwrap();
        let row = rows(
            session,
            &format!("SELECT token(k) FROM {alone}.t WHERE k = {key}"),
        )
        .await;
        assert_eq!(row.single_row::<(i64,)>().unwrap().0, token.value());
    }
    assert_eq!(used.len(), 3);
    run(session, &format!("DROP KEYSPACE {alone}")).await;
}
