//! Completion, and what colours and the validator go by.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use reedline::{ValidationResult, Validator};

use super::{completer::candidates, lexer, validator::Whole};
use crate::shell::schema_names::SchemaNames;

fn names() -> SchemaNames {
    let columns = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let flights = BTreeMap::from([
        ("by_tailnum".to_owned(), columns(&["tailnum", "time_hour", "Odd"])),
        ("by_route".to_owned(), columns(&["origin", "dest"])),
    ]);
    SchemaNames {
        keyspaces: BTreeMap::from([
            ("flights".to_owned(), flights),
            ("system".to_owned(), BTreeMap::new()),
        ]),
    }
}

fn complete(typed: &str, keyspace: Option<&str>) -> Vec<String> {
    candidates(typed, &names(), keyspace).1
}

#[test]
fn names_are_completed_where_they_belong() {
    assert_eq!(complete("USE fl", None), ["flights"]);
    assert_eq!(complete("SELECT * FROM ", None), ["flights.", "system."]);
    assert_eq!(
        complete("SELECT * FROM by_", Some("flights")),
        ["by_route", "by_tailnum"]
    );
    assert_eq!(complete("SELECT * FROM flights.by_t", None), ["by_tailnum"]);
    assert_eq!(
        complete("SELECT * FROM flights.by_tailnum WHERE ta", None)[0],
        "tailnum"
    );
}

#[test]
fn keywords_follow_the_case_of_what_is_typed() {
    assert_eq!(complete("sel", None), ["select"]);
    assert_eq!(complete("SEL", None), ["SELECT"]);
    assert_eq!(complete("SELECT 1; TRAC", None), ["TRACING"]);
}

#[test]
fn strings_and_comments_are_left_alone() {
    assert!(complete("SELECT 'sel", None).is_empty());
    assert!(complete("-- sel", None).is_empty());
}

#[test]
fn the_replaced_part_is_the_word() {
    assert_eq!(
        candidates("SELECT * FROM flights.by_t", &names(), None).0,
        "SELECT * FROM flights.".len()
    );
}

#[test]
fn enter_carries_out_whole_statements_only() {
    let is_whole = |text: &str| matches!(Whole.validate(text), ValidationResult::Complete);
    for whole in [
        "SELECT 1;",
        "",
        "EXIT",
        "CONSISTENCY QUORUM",
        "-- nothing",
        "SELECT ';';",
    ] {
        assert!(is_whole(whole), "{whole}");
    }
    for part in [
        "SELECT 1",
        "SELECT ';",
        "BEGIN BATCH DELETE FROM t;",
        "SELECT 1; SELECT",
    ] {
        assert!(!is_whole(part), "{part}");
    }
}

proptest! {
    #[test]
    fn pieces_make_up_the_text(text in any::<String>()) {
        let joined: String = lexer::pieces(&text).into_iter().map(|(_, piece)| piece).collect();
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn completion_takes_anything(text in "[ a-zA-Z0-9'\".;,$/*()é日-]{0,60}") {
        let (start, _) = candidates(&text, &names(), Some("flights"));
        prop_assert!(text.is_char_boundary(start));
    }
}
