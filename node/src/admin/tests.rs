use std::{
    io::{Read, Write},
    net::TcpListener,
};

use starling_model::NodeId;
use starling_replication::{
    DamageStatus, DepartedStatus, DivergedRange, MemberStatus, NodeStatus, TableDivergence,
    status::CounterValues,
};

use super::*;

/// Answers one request with `answer`, whatever it asks; gives the address and, in the end, the request.
fn answering(answer: &'static str) -> (std::net::SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, server)
}

#[test]
fn a_page_is_read_with_its_code() {
    let (address, server) = answering("HTTP/1.0 503 Service Unavailable\r\nx: y\r\n\r\nstarting\n");
    assert_eq!(
        client::get(address, "/health").unwrap(),
        (503, "starting\n".to_owned())
    );
    assert!(server.join().unwrap().starts_with("GET /health HTTP/1.0\r\n"));
}

#[test]
fn what_is_not_http_is_an_error() {
    let (address, server) = answering("hello");
    assert!(client::get(address, "/").is_err());
    server.join().unwrap();
}

#[test]
fn json_with_another_status_is_an_error() {
    let (address, server) = answering("HTTP/1.0 404 Not Found\r\n\r\n{}");
    assert!(client::get_json::<serde_json::Value>(address, "/status").is_err());
    server.join().unwrap();
}

fn diverged(since: u32) -> DivergedRange {
    DivergedRange {
        start: -5,
        end: 7,
        differing: 6,
        since,
        problem: Some("the replica \"n2\"\nis down".to_owned()),
    }
}

fn divergence(table: &str, since: Option<u32>) -> TableDivergence {
    TableDivergence {
        table: table.to_owned(),
        ranges: 4,
        agreed: 3,
        oldest_agreement: None,
        differing: 6,
        diverged_ranges: 1,
        diverged_since: since,
        diverged: since.map(diverged).into_iter().collect(),
    }
}

fn view() -> StatusView {
    StatusView {
        name: "n".to_owned(),
        node: NodeStatus {
            divergence: vec![
                divergence("shop.carts", Some(1_700_000_000)),
                divergence("shop.orders", None),
            ],
            tree_leaves: 0,
            tree_changed: 0,
            tree_bytes: 0,
            id: NodeId(7),
            cluster: "c".to_owned(),
            partitioner: "p".to_owned(),
            release: "r".to_owned(),
            ready: true,
            schema_version: "v".to_owned(),
            schema_agreed: true,
            members_stored: false,
            members: vec![MemberStatus {
                id: NodeId(7),
                address: "127.0.0.1:7000".parse().unwrap(),
                cql_address: None,
                datacenter: "d".to_owned(),
                rack: "r".to_owned(),
                up: true,
                joined: true,
                tokens: 16,
                ownership: 0.25,
                schema_version: None,
                release: None,
                hint_bytes: 9,
            }],
            hint_bytes: 30,
            departed: vec![DepartedStatus {
                id: NodeId(8),
                hint_bytes: 21,
            }],
            in_flight: 1,
            damage: DamageStatus {
                waiting: 5,
                for_operator: 2,
                stretches: Vec::new(),
            },
            streams: starling_replication::StreamStatus::default(),
            counters: CounterValues {
                reads: 4,
                ..CounterValues::default()
            },
        },
        pid: 1,
        uptime_seconds: 2,
        resident_bytes: Some(3),
        mapped_files: 11,
        map_limit: Some(65_530),
        budget: vec![PoolView {
            name: "replies".to_owned(),
            held: 5,
            peak: 6,
            limit: 7,
            waiting: 0,
            waits: 8,
        }],
        shards: Vec::new(),
        large_rows: vec![LargeRowsView {
            table: "shop.carts".to_owned(),
            rows: 2,
            largest_bytes: 20 << 20,
        }],
    }
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let text = metrics::text(&view(), &cql_server::Counters::default(), &Traffic::default());
    assert!(text.contains("\nstarling_reads_total 4\n"), "{text}");
    assert!(text.contains("\nstarling_resident_bytes 3\n"), "{text}");
    assert!(text.contains("\nstarling_members_stored 0\n"), "{text}");
    assert!(text.contains("\nstarling_mapped_files 11\n"), "{text}");
    assert!(text.contains("\nstarling_map_limit 65530\n"), "{text}");
    assert!(
        text.contains("\nstarling_hint_bytes{address=\"127.0.0.1:7000\"} 9\n"),
        "{text}"
    );
    assert!(text.contains("\nstarling_kept_hint_bytes 30\n"), "{text}");
    let departed = "starling_departed_hint_bytes{id=\"00000000-0000-0000-0000-000000000008\"} 21\n";
    assert!(text.contains(departed), "{text}");
    assert!(
        text.contains("\nstarling_budget_held_bytes{pool=\"replies\"} 5\n"),
        "{text}"
    );
    assert!(text.contains("\nstarling_damage_waiting 5\n"), "{text}");
    assert!(text.contains("\nstarling_damage_for_operator 2\n"), "{text}");
    assert!(
        text.contains("\nstarling_large_rows{table=\"shop.carts\"} 2\n"),
        "{text}"
    );
    let range = "{table=\"shop.carts\",range=\"-5:7\"}";
    for (name, value) in [("diverged_since_seconds", 1_700_000_000), ("differing", 6)] {
        let sample = format!("\nstarling_repair_range_{name}{range} {value}\n");
        assert!(text.contains(&sample), "{text}");
    }
    let since = "\nstarling_repair_diverged_since_seconds{table=\"shop.carts\"} 1700000000\n";
    assert!(text.contains(since), "{text}");
    assert!(
        text.contains("\nstarling_peer_sent_total{kind=\"request\"} 0\n"),
        "{text}"
    );
    let none = "starling_repair_diverged_since_seconds{table=\"shop.orders\"}";
    assert!(!text.contains(none), "an alert on its age would fire: {text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("starling_"), "{line}");
        value.parse::<f64>().unwrap();
        let family = name.split('{').next().unwrap();
        assert!(text.contains(&format!("# TYPE {family} ")), "{line} has no type");
    }
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        let help = line.splitn(4, ' ').nth(3).unwrap();
        assert!(help.ends_with('.') && help.len() > 15, "says little: {line}");
    }
}

#[test]
fn metrics_have_few_series_for_ranges_however_many_differ() {
    let mut view = view();
    let tables = (0..50).map(|n| TableDivergence {
        diverged: (0..32).map(diverged).collect(),
        ..divergence(&format!("shop.t{n}"), Some(0))
    });
    view.node.divergence = tables.collect();
    let text = metrics::text(&view, &cql_server::Counters::default(), &Traffic::default());
    for name in ["diverged_since_seconds", "differing"] {
        let samples = text
            .lines()
            .filter(|line| line.starts_with(&format!("starling_repair_range_{name}{{")));
        assert_eq!(samples.count(), 32, "{name}");
    }
}

#[test]
fn a_status_reads_back() {
    let json = serde_json::to_string(&view()).unwrap();
    assert_eq!(serde_json::from_str::<StatusView>(&json).unwrap(), view());
    let fields: serde_json::Value = serde_json::from_str(&json).unwrap();
    // What tools read: one object, host ids as text.
    assert_eq!(fields["cluster"], "c");
    assert_eq!(fields["members"][0]["id"], "00000000-0000-0000-0000-000000000007");
}

#[test]
fn a_host_id_that_is_none_is_an_error() {
    let json = serde_json::to_string(&view()).unwrap();
    let json = json.replace("00000000-0000-0000-0000-000000000007", "seven");
    assert!(serde_json::from_str::<StatusView>(&json).is_err());
}

#[test]
fn the_ring_is_in_token_order() {
    let node = |id, tokens| starling_cql::native::TopologyNode {
        id: NodeId(id),
        address: "127.0.0.1:7000".parse().unwrap(),
        cql_address: "127.0.0.1:9042".parse().unwrap(),
        datacenter: "d".to_owned(),
        rack: "r".to_owned(),
        tokens,
        up: true,
    };
    let topology = Topology {
        cluster: String::new(),
        partitioner: String::new(),
        nodes: vec![node(1, vec![5, -7]), node(2, vec![0])],
        keyspaces: Vec::new(),
    };
    let tokens: Vec<i64> = status::ring(&topology).iter().map(|entry| entry.token).collect();
    assert_eq!(tokens, [-7, 0, 5]);
}
