use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use starling_client::{ColumnSpec, CqlType};

use super::{
    field::{Datum, Field, Pools, Subject},
    file::Workload,
    growth::Growth,
    keys::{Distribution, KeyChooser, Keys},
    random::Random,
    ready,
    samples::Samples,
    script::{Overrides, Program, Script},
    version,
    zipf::Zipf,
};

const SMALL: &str = r#"
description = "small"
keyspace = "k"
schema = ["CREATE TABLE {keyspace}.t (key bigint PRIMARY KEY, v blob)"]
records = 10
load = ["write"]

[fields]
key = { from = "record" }
value = { from = "random", bytes = 8 }

[statements.write]
cql = "INSERT INTO {keyspace}.t (key, v) VALUES (?, ?)"
values = ["key", "value"]

[operations.write]
weight = 1
steps = ["write"]
"#;

fn refused(from: &str, to: &str) -> String {
    let text = SMALL.replacen(from, to, 1);
    assert_ne!(text, SMALL, "the test changes the file");
    Workload::parse(&text, "w.toml")
        .expect_err("it does not fit")
        .to_string()
}

#[test]
fn every_ready_made_workload_is_whole() {
    for name in ready::names() {
        let workload = Workload::open(name).unwrap_or_else(|problem| panic!("{problem}"));
        Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1))
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(workload.schema_statements(1).len() > 2);
        for statement in workload.schema_statements(3) {
            starling_cql_parses(&statement);
        }
        for (name, statement) in &workload.statements {
            // Others carry these out; the server says that it does not.
            if !["claim", "change", "increment"].contains(&name.as_str()) {
                starling_cql_parses(&workload.text_of(&statement.get_ref().cql));
            }
        }
    }
}

#[track_caller]
fn starling_cql_parses(statement: &str) {
    starling_cql::parser::parse(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[test]
fn what_does_not_fit_is_refused_with_its_line_and_what_is_allowed() {
    let cases = [
        (
            ("weight = 1", "wait = 1"),
            "w.toml, line 17: unknown field `wait`, expected one of `weight`, `steps`, `keys`",
        ),
        (
            ("steps = [\"write\"]", "steps = [\"wipe\"]"),
            "w.toml, line 16: the operation 'write': there is no statement 'wipe'; there are write",
        ),
        (
            ("values = [\"key\", \"value\"]", "values = [\"key\"]"),
            "w.toml, line 12: the statement 'write': it has 2 markers and 1 values",
        ),
        (
            ("from = \"random\", bytes = 8", "from = \"read\""),
            "w.toml, line 16: the operation 'write': 'write' has a field with from = \"read\": an earlier step must be [verify]'s \
             'read'",
        ),
        (
            ("bytes = 8", "max = 8"),
            "w.toml, line 10: the field 'value': 'max' belongs to fields with from = \"uniform\"",
        ),
        (
            ("from = \"record\"", "from = \"records\""),
            "w.toml, line 9: unknown variant `records`, expected one of `record`, `uniform`, `random`, `choice`, \
             `column`, `version`, `read`",
        ),
        (
            (
                "weight = 1",
                "weight = 1\nkeys = { distribution = \"hot\", exponent = 1.0 }",
            ),
            "w.toml, line 16: the operation 'write': 'exponent' belongs to the distributions 'zipfian' and 'latest'",
        ),
        (
            (
                "values = [\"key\", \"value\"]",
                "values = [\"key\", \"value\"]\nconsistency = \"MANY\"",
            ),
            "w.toml, line 12: the statement 'write': ",
        ),
    ];
    for ((from, to), expected) in cases {
        let message = refused(from, to);
        assert!(message.starts_with(expected), "{message}\nexpected {expected}");
    }
    assert!(refused("weight = 1\n", "").contains("missing field `weight`"));
}

/// Draws of a chooser among 1,000 records, counted.
fn counted(keys: Keys, draws: u64) -> Vec<u64> {
    let growth = Arc::new(Growth::new(1000, 0, 1));
    let mut chooser = KeyChooser::new(keys, growth, Arc::new(AtomicU64::new(0)));
    let mut random = Random::new(7);
    let mut counts = vec![0; 1000];
    for _ in 0..draws {
        counts[chooser.draw(&mut random) as usize] += 1;
    }
    counts
}

fn of(distribution: Distribution) -> Keys {
    Keys {
        distribution,
        ..Keys::default()
    }
}

#[test]
fn uniform_gives_every_record_alike() {
    // Chi-squared with 999 degrees of freedom: mean 999, standard deviation 45.
    let expected = 100.0;
    let counts = counted(of(Distribution::Uniform), 100_000);
    let chi: f64 = counts
        .iter()
        .map(|&n| (n as f64 - expected).powi(2) / expected)
        .sum();
    assert!((800.0..1200.0).contains(&chi), "{chi}");
}

#[test]
fn zipf_gives_each_rank_its_probability() {
    for exponent in [0.5, 0.99, 1.0, 1.5] {
        let zipf = Zipf::new(1000, exponent);
        let mut random = Random::new(3);
        let draws = 200_000;
        let mut counts = vec![0_u64; 1000];
        for _ in 0..draws {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let weight = |rank: usize| (rank as f64 + 1.0).powf(-exponent);
        let total: f64 = (0..1000).map(weight).sum();
        for rank in [0, 1, 2, 9, 99] {
            let expected = draws as f64 * weight(rank) / total;
            let off = (counts[rank] as f64 - expected).abs();
            assert!(
                off < 5.0 * expected.sqrt() + 1.0,
                "exponent {exponent}, rank {rank}: {} for {expected}",
                counts[rank]
            );
        }
        let tail: u64 = counts[500..].iter().sum();
        let expected = draws as f64 * (500..1000).map(weight).sum::<f64>() / total;
        assert!(
            (tail as f64 - expected).abs() < 5.0 * expected.sqrt(),
            "exponent {exponent}: {tail} for {expected}"
        );
    }
}

#[test]
fn zipfian_is_scattered_unless_told_otherwise() {
    let spread = counted(of(Distribution::Zipfian), 100_000);
    let first = counted(
        Keys {
            scrambled: Some(false),
            ..of(Distribution::Zipfian)
        },
        100_000,
    );
    let mut sorted = spread.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert!(first[0] > 10_000 && first[1] > 4_000 && first[0] > first[1]);
    assert!(sorted[0] > 10_000, "the same shape");
    let top: Vec<usize> = (0..1000).filter(|&record| spread[record] >= sorted[9]).collect();
    assert!(
        top.windows(2).all(|pair| pair[1] - pair[0] > 1),
        "no neighbours: {top:?}"
    );
    assert!(
        spread.iter().filter(|&&n| n > 0).count() > 900,
        "a bijection reaches all"
    );
}

#[test]
fn a_hot_set_gets_its_share() {
    let keys = Keys {
        hot_records: Some(0.1),
        hot_operations: Some(0.9),
        ..of(Distribution::Hot)
    };
    let mut counts = counted(keys, 100_000);
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let hot: u64 = counts[..100].iter().sum();
    assert!((89_000..91_000).contains(&hot), "{hot}");
    assert!(counts[99] > 700 && counts[100] < 50, "two levels");
}

#[test]
fn sequential_takes_turns_and_new_never_repeats() {
    assert!(
        counted(of(Distribution::Sequential), 2000)
            .iter()
            .all(|&n| n == 2)
    );
    let growth = Arc::new(Growth::new(10, 1, 3));
    let mut chooser = KeyChooser::new(of(Distribution::New), growth, Arc::default());
    let mut random = Random::new(1);
    let drawn: Vec<u64> = (0..4).map(|_| chooser.draw(&mut random)).collect();
    assert_eq!(drawn, [11, 14, 17, 20], "process 1 of 3");
}

#[test]
fn processes_go_through_the_records_together() {
    let mut counts = vec![0; 12];
    for process in 0..3 {
        let growth = Arc::new(Growth::new(12, process, 3));
        let turn = Arc::new(AtomicU64::new(process));
        let mut chooser = KeyChooser::new(of(Distribution::Sequential), growth, turn);
        let mut random = Random::new(1);
        for _ in 0..4 {
            counts[chooser.draw(&mut random) as usize] += 1;
        }
    }
    assert_eq!(counts, [1; 12], "each record once");
}

#[test]
fn latest_reads_what_is_acknowledged_and_no_more() {
    let growth = Arc::new(Growth::new(100, 0, 1));
    let mut latest = KeyChooser::new(of(Distribution::Latest), Arc::clone(&growth), Arc::default());
    let mut random = Random::new(5);
    for record in [101, 102, 104] {
        growth.acknowledge(record);
    }
    assert_eq!(growth.known(), 100, "100 itself is under way");
    assert!((0..1000).all(|_| latest.draw(&mut random) < 100));
    growth.acknowledge(100);
    assert_eq!(growth.known(), 103);
    let mut newest = 0;
    for _ in 0..1000 {
        let record = latest.draw(&mut random);
        assert!(record < 103);
        newest += u64::from(record == 102);
    }
    assert!(newest > 100, "the newest is the most frequent: {newest}");
}

#[test]
fn versions_say_whose_they_are() {
    let workload = Workload::open("registers").expect("it is ready-made");
    let program = Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1)).expect("whole");
    let versions: Vec<u64> = [7, 7, 8, 1 << 24]
        .map(|record| program.next_version(record))
        .to_vec();
    assert!(
        versions.is_sorted_by(|a, b| a < b),
        "later ones are greater: {versions:?}"
    );
    assert!(
        versions[0] > version::loaded(u64::MAX),
        "and all than what was loaded"
    );
    let of_7: Vec<bool> = versions.iter().map(|&of| version::is_of(of as i64, 7)).collect();
    assert_eq!(of_7, [true, true, false, false]);
    assert!(version::is_of(version::loaded(7) as i64, 7) && !version::is_of(-1, 7));
}

const SUBJECT: Subject = Subject {
    record: 1234,
    version: 77,
    read: None,
};

fn field(text: &str) -> Field {
    toml::from_str(text).expect("a field")
}

#[test]
fn fields_fit_their_markers() {
    let pools = Pools::new(1, None);
    let mut random = Random::new(1);
    let mut value = |text: &str, marker: CqlType| {
        field(text)
            .value(&marker, SUBJECT, &mut random, &pools)
            .expect("a value")
    };
    let record = "from = 'record'\ndivide = 10\nmodulo = 100";
    assert_eq!(value(record, CqlType::Bigint), Datum::Int(23));
    assert_eq!(value(record, CqlType::Text), Datum::Text("user23".into()));
    assert_eq!(value(record, CqlType::Double), Datum::Double(23.0));
    assert!(matches!(value(record, CqlType::Blob), Datum::Bytes(bytes) if bytes.len() == 16));
    assert_eq!(value("from = 'version'", CqlType::Bigint), Datum::Int(77));
    assert_eq!(value("from = 'read'", CqlType::Bigint), Datum::Null);
    for _ in 0..100 {
        let size = value("from = 'random'\nmin_bytes = 3\nmax_bytes = 5", CqlType::Blob).payload();
        assert!((3..=5).contains(&size));
        let number = value("from = 'uniform'\nmin = -2\nmax = 2", CqlType::Int);
        assert!(matches!(number, Datum::Int(-2..=2)));
    }
    let Datum::Bytes(half) = value("from = 'random'\nbytes = 1000\ncompressible = 0.5", CqlType::Blob) else {
        panic!("a blob");
    };
    assert!(half[500..].iter().all(|&byte| byte == 0) && half[..500].iter().any(|&byte| byte != 0));
}

#[test]
fn flights_have_their_columns() {
    let samples = Samples::named("flights", Path::new("")).expect("the flights");
    assert_eq!(samples.value(0, "tailnum"), Ok(Some("N14228")));
    // 2013-01-01, 10:15 UTC.
    assert_eq!(samples.value(0, "departure"), Ok(Some("1357035300000")));
    assert_eq!(
        samples.value(samples.len() as u64, "tailnum"),
        Ok(Some("N14228")),
        "from the beginning again"
    );
    assert!(
        samples
            .value(0, "nothing")
            .expect_err("no column")
            .contains("time_hour")
    );
}

#[test]
fn what_operations_read_is_known() {
    let reads = |name: &str| {
        let workload = Workload::open(name).expect("it is ready-made");
        let program = Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1)).expect("whole");
        let names = program
            .reads
            .iter()
            .map(|&place| program.statements[place].name.clone());
        names.collect::<Vec<String>>()
    };
    assert_eq!(reads("point-reads"), ["read"]);
    assert_eq!(reads("ycsb-f"), ["read"], "once, though two operations have it");
    assert_eq!(reads("point-writes"), [""; 0]);
}

#[test]
fn a_script_is_determined_by_its_seed_and_follows_the_weights() {
    let workload = Workload::open("ycsb-b").expect("it is ready-made");
    let program =
        || Arc::new(Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1)).expect("whole"));
    let draws = |seed| {
        let mut script = Script::new(program(), seed);
        (0..10_000)
            .map(|_| script.draw())
            .map(|drawn| (drawn.operation, drawn.record))
            .collect::<Vec<_>>()
    };
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    let updates = draws(1).iter().filter(|(operation, _)| *operation == 1).count();
    assert!((400..600).contains(&updates), "5 %: {updates}");
}

#[test]
fn bound_values_are_checked_against_the_markers() {
    let workload = Workload::parse(SMALL, "w.toml").expect("it fits");
    let program = Program::new(&workload, Path::new(""), &Overrides::default(), (0, 1)).expect("whole");
    let marker = |cql_type| ColumnSpec {
        keyspace: "k".into(),
        table: "t".into(),
        name: "c".into(),
        cql_type,
    };
    let mut random = Random::new(1);
    let right = [marker(CqlType::Bigint), marker(CqlType::Blob)];
    let bound = program.bind(0, &right, SUBJECT, &mut random).expect("bound");
    assert_eq!(bound.payload, 16);
    assert!(bound.encoded(&right).is_ok());
    let wrong = [marker(CqlType::Boolean), marker(CqlType::Blob)];
    assert!(bound.encoded(&wrong).expect_err("no boolean").contains("boolean"));
}
