//! Replication options as CREATE KEYSPACE writes them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Strategy, StrategyError};

fn parse(class: &str, options: &[(&str, &str)]) -> Result<Strategy, StrategyError> {
    Strategy::parse(class, options.iter().copied())
}

fn known(datacenters: &[&str]) -> BTreeSet<String> {
    datacenters.iter().map(|name| (*name).to_owned()).collect()
}

fn network(factors: &[(&str, u32)], others: Option<u32>) -> Strategy {
    let factors = factors
        .iter()
        .map(|(name, factor)| ((*name).to_owned(), *factor))
        .collect();
    Strategy::NetworkTopology { factors, others }
}

#[test]
fn reads_what_people_write() {
    let simple = Strategy::Simple { factor: 3 };
    assert_eq!(
        parse("SimpleStrategy", &[("replication_factor", "3")]),
        Ok(simple.clone())
    );
    let full = "org.apache.cassandra.locator.SimpleStrategy";
    assert_eq!(
        parse(full, &[("class", full), ("replication_factor", " 3 ")]),
        Ok(simple)
    );
    assert_eq!(
        parse("NetworkTopologyStrategy", &[("east", "3"), ("west", "0")]),
        Ok(network(&[("east", 3), ("west", 0)], None))
    );
    assert_eq!(
        parse(
            "NetworkTopologyStrategy",
            &[("replication_factor", "2"), ("west", "1")]
        ),
        Ok(network(&[("west", 1)], Some(2)))
    );
    assert_eq!(
        parse("org.apache.cassandra.locator.LocalStrategy", &[]),
        Ok(Strategy::Local)
    );
    let owned = BTreeMap::from([("replication_factor".to_owned(), "1".to_owned())]);
    assert_eq!(
        Strategy::parse("SimpleStrategy", &owned),
        Ok(Strategy::Simple { factor: 1 })
    );
}

/// Class, options, and what is said about them.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[test]
fn says_what_is_wrong() {
    let cases: [Case; 12] = [
        (
            "Simple",
            &[],
            "unknown replication strategy 'Simple'; use SimpleStrategy or NetworkTopologyStrategy",
        ),
        (
            "simplestrategy",
            &[("replication_factor", "x")],
            "unknown replication strategy 'simplestrategy'; use SimpleStrategy or NetworkTopologyStrategy",
        ),
        (
            "SimpleStrategy",
            &[],
            "SimpleStrategy needs the option 'replication_factor'",
        ),
        (
            "SimpleStrategy",
            &[("replication_factor", "0")],
            "at least one replica is needed; with none the keyspace could not hold any data",
        ),
        (
            "SimpleStrategy",
            &[("replication_factor", "3"), ("dc1", "3")],
            "SimpleStrategy does not have an option 'dc1'",
        ),
        (
            "SimpleStrategy",
            &[("replication_factor", "three")],
            "'three' is not a replication factor for 'replication_factor'; use a whole number from 0 to 255",
        ),
        (
            "SimpleStrategy",
            &[("replication_factor", "3/1")],
            "transient replication ('3/1' for 'replication_factor') is not supported yet; use a whole number",
        ),
        (
            "NetworkTopologyStrategy",
            &[],
            "NetworkTopologyStrategy needs at least one datacenter with its number of replicas, or 'replication_factor'",
        ),
        (
            "NetworkTopologyStrategy",
            &[("east", "0")],
            "at least one replica is needed; with none the keyspace could not hold any data",
        ),
        (
            "NetworkTopologyStrategy",
            &[("east", "-1")],
            "'-1' is not a replication factor for 'east'; use a whole number from 0 to 255",
        ),
        (
            "NetworkTopologyStrategy",
            &[("east", "256")],
            "'256' is not a replication factor for 'east'; use a whole number from 0 to 255",
        ),
        (
            "NetworkTopologyStrategy",
            &[("east", "99999999999999999999")],
            "'99999999999999999999' is not a replication factor for 'east'; use a whole number from 0 to 255",
        ),
    ];
    for (class, options, message) in cases {
        assert_eq!(parse(class, options).expect_err(message).to_string(), message);
    }
    let many: Vec<(String, &str)> = (0..300).map(|at| (format!("dc{at}"), "1")).collect();
    assert_eq!(
        Strategy::parse("NetworkTopologyStrategy", many),
        Err(StrategyError::TooManyDatacenters)
    );
}

#[test]
fn the_shorthand_becomes_all_datacenters() {
    let shorthand = network(&[("west", 1)], Some(3));
    assert_eq!(
        shorthand.expand(&known(&["east", "west", "south"])),
        Ok(network(&[("east", 3), ("south", 3), ("west", 1)], None))
    );
    let unknown = network(&[("weest", 1)], None)
        .expand(&known(&["east", "west"]))
        .expect_err("a typing error");
    assert_eq!(
        unknown.to_string(),
        "there is no datacenter 'weest' in the cluster; it has: east, west"
    );
    assert_eq!(
        network(&[("east", 0)], Some(1)).expand(&known(&["east"])),
        Err(StrategyError::NoReplicas)
    );
    let simple = Strategy::Simple { factor: 1 };
    assert_eq!(simple.clone().expand(&known(&[])), Ok(simple));
}

#[test]
fn options_are_read_back() {
    for strategy in [
        Strategy::Simple { factor: 2 },
        Strategy::Local,
        network(&[("a", 1), ("b", 0)], None),
        network(&[("a", 1)], Some(2)),
    ] {
        assert_eq!(
            Strategy::parse(strategy.class(), strategy.options()),
            Ok(strategy)
        );
    }
}
