//! Errors, with the protocol's codes and fields.

use scylla::{
    client::session::Session,
    errors::{DbError, ExecutionError, RequestAttemptError},
    statement::Consistency,
};

use crate::{
    Context,
    cluster::{create_keyspace, run},
};

/// What the server said about a statement that it refuses.
async fn refused(session: &Session, statement: &str) -> DbError {
    match session.query_unpaged(statement, &[]).await {
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _))) => error,
        other => panic!("{statement}: {other:?}"),
    }
}

pub(crate) async fn check(context: &Context) {
    let session = &context.session;
    run(session, "CREATE TABLE once (k int PRIMARY KEY)").await;
    let exists = DbError::AlreadyExists {
        keyspace: context.keyspace.clone(),
        table: "once".to_owned(),
    };
    assert_eq!(
        refused(session, "CREATE TABLE once (k int PRIMARY KEY)").await,
        exists
    );
    assert_eq!(refused(session, "SELEC 1").await, DbError::SyntaxError);
    assert_eq!(refused(session, "SELECT * FROM nowhere").await, DbError::Invalid);
    unavailable(context).await;
}

/// More replicas than nodes: the level can't be met, and the answer has the numbers.
async fn unavailable(context: &Context) {
    let session = &context.session;
    let many = format!("{}_many", context.keyspace);
    run(session, &format!("DROP KEYSPACE IF EXISTS {many}")).await;
    create_keyspace(session, &many, 7).await;
    run(session, &format!("CREATE TABLE {many}.t (k int PRIMARY KEY)")).await;
    let expected = DbError::Unavailable {
        consistency: Consistency::Quorum,
        required: 4,
        alive: 3,
    };
    for statement in [
        format!("INSERT INTO {many}.t (k) VALUES (1)"),
        format!("SELECT * FROM {many}.t WHERE k = 1"),
    ] {
        assert_eq!(refused(session, &statement).await, expected);
    }
    run(session, &format!("DROP KEYSPACE {many}")).await;
}
