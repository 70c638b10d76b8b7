use std::cell::Cell;

use futures::FutureExt;

use super::*;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 7000))
}

fn new_node(last: u8) -> Starter {
    Starter {
        listen: address(last),
        has_joined: false,
    }
}

#[test]
fn a_node_starts_with_what_can_be_done_with_the_seeds_that_are_found() {
    let back = Starter {
        has_joined: true,
        ..new_node(1)
    };
    assert!(back.can_start(&[], 3), "it remembers the members");
    assert!(!new_node(9).can_start(&[], 1), "it has nobody to ask");
    assert!(new_node(9).can_start(&[address(2)], 1), "it asks the one");
    assert!(
        !new_node(1).can_start(&[address(1), address(2)], 1),
        "it could found a second cluster"
    );
    assert!(new_node(1).can_start(&[address(1), address(2)], 0));
    assert!(new_node(1).can_start(&[], 0));
}

#[test]
fn names_are_looked_up_until_they_are_found() {
    let seeds = [
        Seed::Address(address(1)),
        Seed::Name("two".to_owned(), 7000),
        Seed::Name("three".to_owned(), 7000),
    ];
    let mut lookup = Lookup::new(&seeds);
    let boot = Cell::new(true);
    let names = |host: String, port: u16| {
        assert_eq!(port, 7000);
        std::future::ready(match (host.as_str(), boot.get()) {
            ("two", _) => Ok(vec![address(2)]),
            (_, true) => Err(io::Error::other("no such host")),
            (_, false) => Ok(vec![address(3), address(4)]),
        })
    };
    lookup.look(names).now_or_never().unwrap();
    assert_eq!(lookup.found(), [address(1), address(2)]);
    boot.set(false);
    lookup.look(names).now_or_never().unwrap();
    assert_eq!(lookup.found(), [address(1), address(2), address(3)]);
    assert!(lookup.missing.is_empty());
}
