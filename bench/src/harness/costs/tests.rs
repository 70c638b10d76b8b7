use std::{collections::BTreeMap, time::Duration};

use super::{
    command::{Cost, Costs, Echo, Engine},
    echo, messages, profile, syscalls, table,
    threads::{self, Spent},
};
use crate::harness::evidence::result::Machine;

#[test]
fn threads_are_told_apart_by_their_names_without_numbers() {
    assert_eq!(threads::kind("shard-12"), "shard");
    assert_eq!(threads::kind("worker"), "worker");
    assert_eq!(threads::kind("17"), "unnamed");
    let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t5\n";
    assert_eq!(threads::switches(status), 12);
}

#[test]
fn what_a_thread_spends_is_seen() {
    let own = [std::process::id()];
    let before = threads::sample(&own);
    let until = Duration::from_millis(20);
    let mut spent = Spent::default();
    while spent.cpu < until {
        spent =
            threads::between(&before, &threads::sample(&own))
                .values()
                .fold(Spent::default(), |sum, one| Spent {
                    cpu: sum.cpu + one.cpu,
                    switches: sum.switches + one.switches,
                });
    }
}

#[test]
fn what_idle_threads_spend_is_none_of_a_runs() {
    let spent = |millis, switches| Spent {
        cpu: Duration::from_millis(millis),
        switches,
    };
    let run = BTreeMap::from([
        ("shard".to_owned(), spent(900, 50)),
        ("worker".to_owned(), spent(10, 3)),
    ]);
    let idle = BTreeMap::from([
        ("worker".to_owned(), spent(2, 1)),
        ("timer".to_owned(), spent(1, 1)),
    ]);
    let expected = BTreeMap::from([
        ("shard".to_owned(), spent(900, 50)),
        ("worker".to_owned(), spent(5, 1)),
    ]);
    assert_eq!(threads::without_idle(&run, &idle, 2.5), expected);
    let long = threads::without_idle(&run, &idle, 60.0);
    assert_eq!(long["worker"], Spent::default(), "never below nothing");
}

#[test]
fn bare_echoes_come_back() {
    for echo in [echo::tcp, echo::quic] {
        let us = echo(Duration::from_millis(50)).expect("this machine has sockets");
        assert!(us > 0.0 && us < 1e6, "{us}");
    }
}

#[test]
fn counts_of_system_calls_are_read() {
    let text = "120,,raw_syscalls:sys_enter,1000,100.00,,\n\
                <not counted>,,syscalls:sys_enter_futex,0,100.00,,\n\
                30,,syscalls:sys_enter_sendmsg,1000,100.00,,\n";
    let expected = BTreeMap::from([("all".to_owned(), 120), ("sendmsg".to_owned(), 30)]);
    assert_eq!(syscalls::read(text), expected);
}

/// A page of metrics on which peers got so many requests of 150 bytes.
fn metrics(requests: u64) -> String {
    let mut page = String::from("# HELP starling_ready 1 if the node serves clients.\nstarling_ready 1\n");
    for kind in ["request", "answer", "cast"] {
        let frames = if kind == "request" { requests } else { 0 };
        for (name, figure) in [
            ("sent", frames),
            ("sent_bytes", frames * 150),
            ("sent_batches", frames / 4),
            ("received", 0),
            ("received_bytes", 0),
        ] {
            let line = [
                "starling_peer_",
                name,
                "_total{kind=\"",
                kind,
                "\"} ",
                &figure.to_string(),
                "\n",
            ];
            page.extend(line);
        }
    }
    page + "starling_cql_requests_total 7\nstarling_cql_bytes_in_total 8\nstarling_cql_bytes_out_total 9\n"
}

#[test]
fn messages_are_of_an_operation() {
    let read = |requests| messages::read(&metrics(requests)).expect("all figures are there");
    let each = messages::each(&read(100), &read(300), 100);
    let figure = |name: &str| (each.count[name], each.bytes[name]);
    assert_eq!(figure("requests sent to peers"), (2.0, 300.0));
    assert_eq!(
        figure("requests of CQL clients"),
        (0.0, 0.0),
        "there were no more"
    );
    assert!((each.count["batches of requests to peers"] - 0.5).abs() < 1e-9);
    let older = metrics(1).replace("starling_peer_sent_total", "starling_other");
    assert_eq!(messages::read(&older), None, "nothing is taken for zero");
}

#[test]
fn samples_belong_to_parts() {
    let cases = [
        ("[.] starling_sstable::memtable::Memtable::get", "engine"),
        (
            "[.] <starling_cql::protocol::Decoder as core::default::Default>::default",
            "codec",
        ),
        ("[.] starling_cql::plan::select::Select::run", "language"),
        ("[.] starling_ring::placement::Placement::replicas", "coordinator"),
        ("[.] starling::store::shard::Shard::turn", "shards"),
        ("[.] starling::cql_server::connection::serve", "listener"),
        ("[.] quinn_proto::connection::Connection::poll_transmit", "QUIC"),
        (
            "[.] tokio::runtime::scheduler::multi_thread::worker::run",
            "runtime",
        ),
        ("[.] mi_malloc_small", "allocator"),
        ("[.] __memcpy_avx_unaligned", "memory"),
        ("[k] tcp_sendmsg_locked", "kernel: network"),
        ("[k] ext4_writepages", "kernel: storage"),
        ("[k] futex_wake", "kernel: futex"),
        ("[k] schedule", "kernel: threads"),
        ("[.] std::sys::sync::mutex::futex::Mutex::lock_contended", "locks"),
        ("[.] parking_lot::raw_mutex::RawMutex::lock_slow", "locks"),
        ("[.] std::sync::mpmc::array::Channel<T>::send", "runtime"),
        ("[k] entry_SYSCALL_64", "kernel: other"),
        ("[.] 0x00007f1234", "other"),
    ];
    for (symbol, part) in cases {
        assert_eq!(profile::part(symbol), part, "{symbol}");
    }
    let report = "# Overhead;Shared Object;Symbol\n 60.00%;starling ;[.] starling_sstable::a\n 40.00%;[kernel];[k] tcp_x\n\n";
    let parts = profile::read(report);
    assert_eq!(parts.len(), 2);
    assert!((parts["engine"] - 0.6).abs() < 1e-9 && (parts["kernel: network"] - 0.4).abs() < 1e-9);
}

fn cost(nodes: u32, protocol: &str, operation: &str, cpu_us: f64) -> Cost {
    Cost {
        nodes,
        protocol: protocol.into(),
        operation: operation.into(),
        consistency: "ONE".into(),
        cpu_us,
        cpu_us_of_runs: vec![cpu_us, cpu_us + 1.0],
        per_second: 100_000.0,
        p50_us: 500.0,
        p50_alone_us: 40.0,
        threads_us: vec![("worker".into(), cpu_us)],
        switches: 0.5,
        system_calls: Err("perf does not run".into()),
        parts_us: Ok(vec![
            ("engine".into(), 1.5),
            ("codec".into(), 0.45),
            ("locks".into(), 0.02),
            ("kernel: futex".into(), 0.03),
        ]),
        own_memory_mib: 400.0 * f64::from(nodes),
        messages: Ok(vec![(
            "requests sent to peers".into(),
            2.0 * f64::from(nodes - 1),
        )]),
        message_bytes: Ok(vec![("requests sent to peers".into(), 300.0)]),
    }
}

#[test]
fn the_table_holds_figures_against_aims() {
    let costs = Costs {
        machine: Machine {
            cores: 2,
            cpu: "a processor".into(),
            memory_bytes: 8 << 30,
            kernel: "6.1".into(),
        },
        rows: 1000,
        engine: Engine::of(vec![2.0, 1.5, 4.0], vec![1.75, 1.25, 1.5]),
        echo: Some(Echo {
            tcp_us: 25.0,
            quic_us: 16.0,
        }),
        costs: vec![
            cost(1, "cql", "read", 4.5),
            cost(1, "quic", "read", 9.0),
            cost(3, "cql", "read", 12.0),
            cost(1, "cql", "write", 9.0),
        ],
        restless: vec!["1 node(s), before read by cql".into()],
    };
    let text = table::markdown(&costs);
    let has = |words: &[&str]| {
        text.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(has(&["read by CQL: µs above", "2.50", "<= 3", "met"]), "{text}");
    assert!(
        has(&["read: QUIC over CQL", "2.00", "<= 1.5", "missed"]),
        "{text}"
    );
    assert!(has(&["three nodes over one, read", "2.67", "met"]), "{text}");
    assert!(has(&["engine's get", "2.00", "1.50", "4.00"]), "{text}");
    assert!(has(&["engine's put", "1.50", "1.25", "1.75"]), "{text}");
    assert!(has(&["engine ", "1.50"]) && has(&["worker", "4.50"]), "{text}");
    assert!(
        has(&["bare echo, TCP", "25"]) && has(&["bare echo, QUIC", "16"]),
        "{text}"
    );
    // 40 µs with one in flight.
    assert!(
        has(&["read by CQL over TCP, one in flight", "1.60", "<= 1.8", "met"]),
        "{text}"
    );
    assert!(
        has(&["read by QUIC, one in flight", "2.50", "<= 1.8", "missed"]),
        "{text}"
    );
    assert!(
        !has(&["write by CQL over TCP"]),
        "writes wait for the disk: {text}"
    );
    assert!(has(&["locks, %", "2.50", "<= 1 ", "missed"]), "{text}");
    assert!(text.contains("Not measured: perf does not run"), "{text}");
    assert!(
        has(&["not quiet within 180 s", "1 node(s), before read by cql"]),
        "{text}"
    );
    assert!(
        has(&["1 node(s): memory of a node's own", "400.00", "<= 652", "met"]),
        "{text}"
    );
    assert!(
        has(&["3 node(s): memory of a node's own", "1200.00", "<= 804", "missed"]),
        "{text}"
    );
    assert!(has(&["requests sent to peers", "4.00"]), "{text}");
    assert!(has(&["requests sent to peers", "300.00"]), "{text}");
}
