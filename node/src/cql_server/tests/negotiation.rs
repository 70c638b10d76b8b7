//! How clients find the version and the compression that both sides have.

use starling_cql::{
    ErrorKind,
    protocol::{Request, Response},
};

use super::{raw::query, *};

/// The first bytes of drivers whose version is not spoken here, and what they are told.
#[tokio::test]
async fn unknown_versions_are_refused_in_the_highest_version() {
    let (server, _) = server().await;
    let options_of = |version: u8, stream: i16| {
        let [high, low] = stream.to_be_bytes();
        vec![version, 0, high, low, 5, 0, 0, 0, 0]
    };
    let mut startup_of_dse = vec![0x42, 0, 0, 1, 1, 0, 0, 0, 22];
    startup_of_dse.extend_from_slice(b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0");
    for (first, stream) in [
        (options_of(0x42, 0), 0),
        (options_of(0x41, 0), 0),
        (startup_of_dse, 1),
        (options_of(3, 300), 300),
        (options_of(6, 2), 2),
        (vec![1, 0, 4, 5, 0, 0, 0, 0], 4),
    ] {
        let mut client = Client::connect(&server).await;
        client.send_raw(&first).await;
        let envelope = client.receive_envelope().await.expect("an answer");
        assert_eq!((envelope.version, envelope.stream), (Version::V5, stream));
        let frame = starling_cql::protocol::ResponseFrame::decode(envelope).unwrap();
        let Response::Error(error) = frame.response else {
            panic!("no error");
        };
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(
            error
                .message
                .starts_with("Invalid or unsupported protocol version ("),
            "{error}"
        );
        assert!(error.message.contains("(4/v4, 5/v5)"), "{error}");
        assert!(client.receive().await.is_none(), "the connection is closed");
    }
}

#[tokio::test]
async fn options_names_what_the_version_has() {
    let (server, _) = server().await;
    for (version, compressions) in [(Version::V4, &["lz4", "snappy"][..]), (Version::V5, &["lz4"])] {
        let mut client = Client::connect(&server).await;
        client.set_version(version);
        let Response::Supported(supported) = client.ask(Request::Options).await.response else {
            panic!("no SUPPORTED");
        };
        let of = |name| &supported.iter().find(|(key, _)| key == name).unwrap().1;
        assert_eq!(of("COMPRESSION"), compressions);
        assert_eq!(of("PROTOCOL_VERSIONS"), &["4/v4", "5/v5"]);
        assert_eq!(of("CQL_VERSION").len(), 1);
        // The handshake goes on on the same connection.
        client.open(version, &[("CQL_VERSION", "3.4.5")]).await;
        assert!(client.works().await);
        // OPTIONS is the drivers' heartbeat, so that it works at any time.
        assert!(matches!(
            client.ask(Request::Options).await.response,
            Response::Supported(_)
        ));
    }
}

#[tokio::test]
async fn every_version_with_every_compression() {
    let (server, _) = server().await;
    for (version, compression) in [
        (Version::V4, None),
        (Version::V4, Some("lz4")),
        (Version::V4, Some("snappy")),
        (Version::V4, Some("LZ4")),
        (Version::V5, None),
        (Version::V5, Some("lz4")),
        (Version::V5, Some("")),
    ] {
        let mut client = Client::connect(&server).await;
        let mut options = vec![("CQL_VERSION", "3.0.0")];
        options.extend(compression.map(|name| ("COMPRESSION", name)));
        client.open(version, &options).await;
        for (rows, bytes) in [(1, 10), (2, 5_000), (3, 100_000)] {
            let answer = client.ask(query(&format!("rows {rows} {bytes}"))).await;
            let Response::Result(starling_cql::protocol::ResultBody::Rows(body)) = answer.response else {
                panic!("no rows");
            };
            assert_eq!(body.rows.rows.len(), rows);
            assert!(
                body.rows
                    .rows
                    .iter()
                    .all(|row| row[0].as_ref().unwrap().len() == bytes)
            );
        }
        // A large request, compressible and not.
        let large = "y".repeat(500_000);
        let Response::Error(error) = client.ask(query(&large)).await.response else {
            panic!("no error");
        };
        assert!(error.message.contains("no statement: yyyy"));
    }
}

#[tokio::test]
async fn options_of_startup_that_are_unknown_have_no_meaning() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = Client::connect(&server).await;
        let options = [
            ("CQL_VERSION", "4.0.0"),
            ("DRIVER_NAME", "x"),
            ("CLIENT_ID", "1"),
            ("SESSION_ID", ""),
            ("CQL_VERSION", "3.0.0"),
        ];
        client.open(version, &options).await;
        assert!(client.works().await);
    }
}

#[tokio::test]
async fn a_compression_that_the_version_lacks_is_refused_and_another_may_be_tried() {
    let (server, _) = server().await;
    for (version, name) in [
        (Version::V5, "snappy"),
        (Version::V5, "zstd"),
        (Version::V4, "deflate"),
    ] {
        let mut client = Client::connect(&server).await;
        let Response::Error(error) = client.startup(version, &[("COMPRESSION", name)]).await else {
            panic!("no error");
        };
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(
            error
                .message
                .contains(&format!("Unknown compression algorithm '{name}'")),
            "{error}"
        );
        client.open(version, &[]).await;
        assert!(client.works().await);
    }
}

#[tokio::test]
async fn messages_out_of_order_are_refused() {
    let (server, _) = server().await;
    for version in BOTH {
        let mut client = Client::connect(&server).await;
        client.set_version(version);
        for request in [
            query("void"),
            Request::Register(Vec::new()),
            Request::AuthResponse(None),
        ] {
            let name = request.opcode().name();
            client.push(1, request);
            client.flush().await;
            let (_, kind, message) = client.error().await;
            assert_eq!(kind, ErrorKind::Protocol);
            assert_eq!(
                message,
                format!("Unexpected {name}, expecting STARTUP or OPTIONS")
            );
        }
        client.open(version, &[]).await;
        for request in [Request::Startup(Vec::new()), Request::AuthResponse(None)] {
            client.push(1, request);
            client.flush().await;
            assert_eq!(client.error().await.1, ErrorKind::Protocol);
        }
        assert!(client.works().await);
    }
}

#[tokio::test]
async fn the_version_is_settled_by_startup() {
    let (server, _) = server().await;
    let mut client = Client::connect(&server).await;
    client.set_version(Version::V5);
    assert!(matches!(
        client.ask(Request::Options).await.response,
        Response::Supported(_)
    ));
    client.open(Version::V4, &[]).await;
    client.set_version(Version::V5);
    client.push(1, Request::Options);
    client.flush().await;
    let (_, kind, message) = client.error().await;
    assert_eq!(kind, ErrorKind::Protocol);
    assert_eq!(message, "a message of version 5 on a connection of version 4");
    assert!(client.receive().await.is_none());
}
