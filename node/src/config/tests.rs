use super::*;

fn check(settings: Settings) -> Result<NodeConfig, String> {
    NodeConfig::from_settings(settings).map_err(|error| error.to_string())
}

fn file(text: &str) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("starling.toml");
    std::fs::write(&path, text).unwrap();
    Settings::read(&path).map_err(|error| error.to_string())
}

#[test]
fn nothing_said_is_a_node_of_its_own_on_loopback() {
    let config = check(Settings::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:7000");
    assert_eq!(config.cql.to_string(), "127.0.0.1:9042");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:7080");
    assert_eq!(config.commitlog_sync, CommitLogSync::Group);
    assert_eq!((config.vnodes, config.shards, config.tls), (16, None, None));
}

#[test]
fn repair_in_the_background_can_be_turned_off() {
    let of = |repair_interval_s| Settings {
        repair_interval_s,
        ..Settings::default()
    };
    let interval = |setting| check(of(setting)).unwrap().repair_interval;
    assert_eq!(interval(None), Some(Duration::from_mins(10)));
    assert_eq!(interval(Some(5)), Some(Duration::from_secs(5)));
    assert_eq!(interval(Some(0)), None);
    assert!(
        check(of(Some(u64::MAX)))
            .unwrap_err()
            .contains("--repair-interval-s")
    );
}

#[test]
fn flags_override_the_file() {
    let from_file = file("name = 'a'\nlisten = '10.0.0.1'\nvnodes = 8\nseeds = ['10.0.0.1']").unwrap();
    let flags = Settings {
        vnodes: Some(4),
        cql: Some("10.0.0.1:9999".to_owned()),
        ..Settings::default()
    };
    let config = check(flags.or(from_file)).unwrap();
    assert_eq!((config.name.as_str(), config.vnodes), ("a", 4));
    assert_eq!(config.listen.to_string(), "10.0.0.1:7000");
    assert_eq!(config.cql.to_string(), "10.0.0.1:9999");
    assert_eq!(config.seeds, [Seed::Address(config.listen)]);
}

#[test]
fn a_node_is_its_own_seed_by_the_address_that_it_advertises() {
    let with = |seeds: &str| {
        let settings = file(&format!("advertise = '10.0.0.1:7100'\nseeds = ['{seeds}']")).unwrap();
        check(settings)
    };
    let config = with("10.0.0.1:7100").unwrap();
    assert_eq!(config.advertise.unwrap().to_string(), "10.0.0.1:7100");
    assert_eq!(config.listen.to_string(), "127.0.0.1:7000");
    let error = with("127.0.0.1:7000").unwrap_err();
    assert!(error.contains("--tls"), "{error}");
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let settings = file("dir = 'data'\ntls = '/etc/tls'").unwrap();
    assert!(settings.dir.as_ref().unwrap().is_absolute());
    assert!(settings.dir.unwrap().ends_with("data"));
    assert_eq!(settings.tls.unwrap(), PathBuf::from("/etc/tls"));
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_line() {
    let error = file("name = 'a'\nlissten = '127.0.0.1'\n").unwrap_err();
    assert!(error.contains("line 2") && error.contains("lissten"), "{error}");
    let error = file("vnodes = 'many'").unwrap_err();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_flag_and_the_reason() {
    let text = |text: &str| Some(text.to_owned());
    let refused: [(Settings, &str); 10] = [
        (
            Settings {
                listen: text("0.0.0.0"),
                ..Settings::default()
            },
            "--listen",
        ),
        (
            Settings {
                listen: text("somewhere"),
                ..Settings::default()
            },
            "--listen",
        ),
        (
            Settings {
                advertise: text("0.0.0.0"),
                ..Settings::default()
            },
            "--advertise",
        ),
        (
            Settings {
                cql: text("::"),
                ..Settings::default()
            },
            "--cql",
        ),
        (
            Settings {
                vnodes: Some(0),
                ..Settings::default()
            },
            "--vnodes is 0; it must be 1 to 256",
        ),
        (
            Settings {
                partitioner: text("random"),
                ..Settings::default()
            },
            "murmur3 or xxh3",
        ),
        (
            Settings {
                commitlog_sync: text("never"),
                ..Settings::default()
            },
            "--commitlog-sync",
        ),
        (
            Settings {
                commitlog_sync_period_ms: Some(5),
                ..Settings::default()
            },
            "periodic",
        ),
        (
            Settings {
                seeds: Some(vec!["10.0.0.9".to_owned()]),
                ..Settings::default()
            },
            "--tls",
        ),
        (
            Settings {
                dc: text("a\nb"),
                ..Settings::default()
            },
            "--dc",
        ),
    ];
    for (settings, expected) in refused {
        let error = check(settings).unwrap_err();
        assert!(error.contains(expected), "{error} should say {expected}");
    }
}

#[test]
fn seeds_may_be_names_that_nobody_knows_yet() {
    let seeds = |text: &str| {
        let settings = Settings {
            seeds: Some(vec![text.to_owned()]),
            tls: Some("tls".into()),
            ..Settings::default()
        };
        NodeConfig::from_settings(settings).map(|config| config.seeds)
    };
    let name = |host: &str, port| Ok(vec![Seed::Name(host.to_owned(), port)]);
    assert_eq!(
        seeds("node-0.starling.local"),
        name("node-0.starling.local", 7000)
    );
    assert_eq!(seeds("node_0:7100"), name("node_0", 7100));
    for wrong in [
        "",
        "10.0.0.256",
        "10.0.0",
        "a b",
        "node:",
        "node:0",
        "node:70000",
        ":7000",
        "0.0.0.0",
    ] {
        let error = seeds(wrong).expect_err(wrong).to_string();
        assert!(error.contains("--seeds"), "{error}");
    }
}
