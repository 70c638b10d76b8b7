//! What requests get, once the connection is open.

use starling_cql::{
    BatchEntry, BatchKind, BatchRequest, ErrorKind, PreparedMetadata, QueryParameters, Statement, Values,
    protocol::{Request, RequestFrame, Response, ResultBody, RowsBody},
};

use super::{
    fake::created,
    raw::{parameters, query, text},
    *,
};

fn prepare(query: &str, keyspace: Option<&str>) -> Request {
    Request::Prepare {
        query: query.to_owned(),
        keyspace: keyspace.map(str::to_owned),
    }
}

async fn prepared(client: &mut Client, query: &str) -> PreparedMetadata {
    match client.ask(prepare(query, None)).await.response {
        Response::Result(ResultBody::Prepared(prepared)) => prepared,
        other => panic!("not prepared, but {other:?}"),
    }
}

fn execute(prepared: &PreparedMetadata, version: Version, skip_metadata: bool) -> Request {
    Request::Execute {
        id: prepared.id.clone(),
        result_id: (version == Version::V5).then(|| prepared.result_id.clone()),
        parameters: QueryParameters {
            skip_metadata,
            ..parameters()
        },
    }
}

async fn rows(client: &mut Client, request: Request) -> RowsBody {
    match client.ask(request).await.response {
        Response::Result(ResultBody::Rows(body)) => body,
        other => panic!("no rows, but {other:?}"),
    }
}

#[tokio::test]
async fn use_changes_the_keyspace_of_this_connection() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        let mut other = open(&server, version).await;
        assert_eq!(text(client.ask(query("keyspace")).await), "");
        let answer = client.ask(query("USE birds")).await.response;
        assert_eq!(
            answer,
            Response::Result(ResultBody::SetKeyspace("birds".to_owned()))
        );
        assert_eq!(text(client.ask(query("keyspace")).await), "birds");
        let own = prepared(&mut client, "keyspace").await;
        assert_eq!(text(client.ask(execute(&own, version, false)).await), "birds");
        assert_eq!(text(other.ask(query("keyspace")).await), "");
    }
}

#[tokio::test]
async fn a_keyspace_in_the_message_goes_before() {
    let (server, _) = server().await;
    let mut client = open(&server, Version::V5).await;
    client.ask(query("USE birds")).await;
    let mut with_keyspace = parameters();
    with_keyspace.keyspace = Some("fish".to_owned());
    let request = Request::Query {
        query: "keyspace".to_owned(),
        parameters: with_keyspace,
    };
    assert_eq!(text(client.ask(request).await), "fish");
    client.ask(prepare("keyspace", Some("bees"))).await;
    let request = Request::Execute {
        id: "keyspace".into(),
        result_id: Some("".into()),
        parameters: parameters(),
    };
    assert_eq!(text(client.ask(request).await), "bees");
}

#[tokio::test]
async fn metadata_is_left_out_when_the_client_has_it() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        let known = prepared(&mut client, "columns").await;
        let body = rows(&mut client, execute(&known, version, false)).await;
        assert_eq!((body.rows.columns.len(), body.new_metadata_id), (1, None));
        let body = rows(&mut client, execute(&known, version, true)).await;
        assert!(body.skip_metadata);
        assert_eq!((body.rows.columns.len(), body.new_metadata_id), (0, None));
    }
}

#[tokio::test]
async fn version_5_tells_when_the_columns_changed() {
    let (server, fake) = server().await;
    let mut client = open(&server, Version::V5).await;
    let known = prepared(&mut client, "columns").await;
    fake.alter();
    let body = rows(&mut client, execute(&known, Version::V5, true)).await;
    assert_eq!(body.rows.columns.len(), 2);
    let again = prepared(&mut client, "columns").await;
    assert_eq!(body.new_metadata_id.as_ref(), Some(&again.result_id));
    assert_ne!(known.result_id, again.result_id);
    let body = rows(&mut client, execute(&again, Version::V5, true)).await;
    assert!(body.skip_metadata);
}

#[tokio::test]
async fn tracing_warnings_payload_and_schema_changes() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        let answer = client
            .ask(RequestFrame {
                tracing: true,
                custom_payload: vec![
                    ("any".to_owned(), Some("bytes".into())),
                    ("null".to_owned(), None),
                ],
                request: query("warn"),
            })
            .await;
        assert_eq!(answer.trace, Some(77));
        assert_eq!(answer.warnings, ["careful"]);
        assert_eq!(answer.response, Response::Result(ResultBody::Void));
        let answer = client.ask(query("CREATE nests")).await;
        assert_eq!(answer.trace, None);
        let expected = Response::Result(ResultBody::SchemaChange(created("nests")));
        assert_eq!(answer.response, expected);
    }
}

#[tokio::test]
async fn batches() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        client.ask(query("USE birds")).await;
        let entry = BatchEntry {
            statement: Statement::Text("INSERT".to_owned()),
            values: Values::default(),
        };
        let batch = BatchRequest {
            kind: BatchKind::Unlogged,
            entries: vec![entry; 3],
            parameters: parameters(),
        };
        assert_eq!(text(client.ask(Request::Batch(batch)).await), "3 in birds");
    }
}

#[tokio::test]
async fn errors_pass_with_their_fields_and_a_panic_is_one() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = open(&server, version).await;
        client.push(1, query("unprepared"));
        client.flush().await;
        let (_, kind, _) = client.error().await;
        assert_eq!(kind, ErrorKind::Unprepared { id: "gone".into() });
        client.push(2, query("panic"));
        client.flush().await;
        let (stream, kind, message) = client.error().await;
        assert_eq!((stream, kind), (2, ErrorKind::Server));
        assert!(message.contains("unknown"), "{message}");
        assert!(client.works().await);
        assert_eq!(server.counters().in_flight.get(), 0);
    }
}
