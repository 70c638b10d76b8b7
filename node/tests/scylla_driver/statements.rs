//! Prepared statements, paging, batches, consistency levels, tracing.

use futures::TryStreamExt;
use scylla::{
    statement::{
        Consistency,
        batch::{Batch, BatchType},
        unprepared::Statement,
    },
    value::MaybeUnset,
};

use crate::{
    Context,
    cluster::{rows, run},
};

pub(crate) async fn check(context: &Context) {
    prepared(context).await;
    pages(context).await;
    batches(context).await;
    levels(context).await;
    traced(context).await;
}

async fn prepared(context: &Context) {
    let session = &context.session;
    run(
        session,
        "CREATE TABLE prepared (k int, c int, v text, w text, PRIMARY KEY (k, c))",
    )
    .await;
    let insert = session
        .prepare("INSERT INTO prepared (k, c, v, w) VALUES (?, ?, ?, ?)")
        .await
        .unwrap();
    session
        .execute_unpaged(&insert, (1, 1, "one", None::<&str>))
        .await
        .unwrap();
    session
        .execute_unpaged(&insert, (1, 2, "two", "w"))
        .await
        .unwrap();
    // What is not set stays as it is.
    session
        .execute_unpaged(&insert, (1, 2, MaybeUnset::<&str>::Unset, "x"))
        .await
        .unwrap();
    let select = session
        .prepare("SELECT c, v, w FROM prepared WHERE k = ? AND c >= ?")
        .await
        .unwrap();
    let found = session
        .execute_unpaged(&select, (1, 1))
        .await
        .unwrap()
        .into_rows_result()
        .unwrap();
    let found: Vec<(i32, String, Option<String>)> = found.rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        found,
        [
            (1, "one".to_owned(), None),
            (2, "two".to_owned(), Some("x".to_owned()))
        ]
    );
}

async fn pages(context: &Context) {
    let session = &context.session;
    run(session, "CREATE TABLE pages (k int, c int, PRIMARY KEY (k, c))").await;
    let insert = session
        .prepare("INSERT INTO pages (k, c) VALUES (?, ?)")
        .await
        .unwrap();
    let writes = (0..1_000).map(|n| {
        let insert = &insert;
        async move { session.execute_unpaged(insert, (n / 50, n % 50)).await }
    });
    futures::future::try_join_all(writes).await.unwrap();
    for size in [7, 97, 5_000] {
        let select = Statement::new("SELECT k, c FROM pages").with_page_size(size);
        let stream = session
            .query_iter(select, &[])
            .await
            .unwrap()
            .rows_stream::<(i32, i32)>()
            .unwrap();
        let mut found: Vec<_> = stream.try_collect().await.unwrap();
        found.sort_unstable();
        let expected: Vec<_> = (0..1_000).map(|n| (n / 50, n % 50)).collect();
        assert_eq!(found, expected, "with pages of {size}");
    }
    let count = rows(session, "SELECT count(*) FROM pages").await;
    assert_eq!(count.single_row::<(i64,)>().unwrap().0, 1_000);
}

async fn batches(context: &Context) {
    let session = &context.session;
    run(
        session,
        "CREATE TABLE batches (k int, c int, v text, PRIMARY KEY (k, c))",
    )
    .await;
    let insert = session
        .prepare("INSERT INTO batches (k, c, v) VALUES (?, ?, ?)")
        .await
        .unwrap();
    for (key, kind) in [(1, BatchType::Logged), (2, BatchType::Unlogged)] {
        let mut batch = Batch::new(kind);
        let mut values = Vec::new();
        for column in 0..10 {
            batch.append_statement(insert.clone());
            values.push((key, column, "v"));
        }
        session.batch(&batch, values).await.unwrap();
        let count = rows(session, &format!("SELECT count(*) FROM batches WHERE k = {key}")).await;
        assert_eq!(count.single_row::<(i64,)>().unwrap().0, 10);
    }
}

async fn levels(context: &Context) {
    let session = &context.session;
    run(session, "CREATE TABLE levels (k int PRIMARY KEY)").await;
    let both = [
        Consistency::One,
        Consistency::Two,
        Consistency::Three,
        Consistency::Quorum,
        Consistency::All,
        Consistency::LocalQuorum,
        Consistency::LocalOne,
    ];
    let at = |text: &str, level| {
        let mut statement = Statement::new(text);
        statement.set_consistency(level);
        statement
    };
    for level in both
        .into_iter()
        .chain([Consistency::Any, Consistency::EachQuorum])
    {
        session
            .query_unpaged(at("INSERT INTO levels (k) VALUES (1)", level), &[])
            .await
            .unwrap();
    }
    for level in both {
        let found = session
            .query_unpaged(at("SELECT k FROM levels WHERE k = 1", level), &[])
            .await
            .unwrap();
        assert_eq!(found.into_rows_result().unwrap().rows_num(), 1, "at {level}");
    }
}

async fn traced(context: &Context) {
    let session = &context.session;
    let mut select = session.prepare("SELECT k FROM levels WHERE k = ?").await.unwrap();
    select.set_tracing(true);
    let result = session.execute_unpaged(&select, (1,)).await.unwrap();
    let trace = session
        .get_tracing_info(&result.tracing_id().expect("a trace"))
        .await
        .unwrap();
    assert!(trace.coordinator.is_some());
    assert!(trace.duration.is_some());
    assert!(!trace.events.is_empty());
}
