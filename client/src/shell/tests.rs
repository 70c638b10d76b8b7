//! The splitter, against what CQL says and against anything.

use proptest::prelude::*;

use super::{
    command::{self, Command},
    settings::Paging,
    splitter::{line_of, split},
};

fn pieces(text: &str) -> (Vec<&str>, Option<&str>) {
    let split = split(text);
    (
        split.pieces.iter().map(|piece| piece.text).collect(),
        split.rest.map(|rest| rest.text),
    )
}

#[test]
fn semicolons_end_statements_but_not_within_strings_and_comments() {
    let text = "SELECT 1; SELECT 'a;b''c;' ;-- x;\n SELECT \"a;\" /* ; */ FROM t; SELECT $$;'$$;;  // end";
    let expected = vec![
        "SELECT 1",
        "SELECT 'a;b''c;'",
        "SELECT \"a;\" /* ; */ FROM t",
        "SELECT $$;'$$",
    ];
    assert_eq!(pieces(text), (expected, None));
}

#[test]
fn what_has_no_end_is_left() {
    assert_eq!(
        pieces("SELECT 1; SELECT 'x; y"),
        (vec!["SELECT 1"], Some("SELECT 'x; y"))
    );
    assert_eq!(pieces("SELECT 1 /* ; "), (vec![], Some("SELECT 1 /* ;")));
    assert_eq!(pieces("SELECT 1\nFROM t"), (vec![], Some("SELECT 1\nFROM t")));
}

#[test]
fn batches_end_with_apply_batch() {
    let batch = "BEGIN UNLOGGED BATCH USING TIMESTAMP 1\nINSERT INTO t (k) VALUES ('APPLY BATCH;');\nDELETE FROM t WHERE k = 1;\nAPPLY BATCH";
    let text = format!("{batch}; SELECT 1;");
    assert_eq!(pieces(&text), (vec![batch, "SELECT 1"], None));
    assert_eq!(
        pieces("BEGIN BATCH DELETE FROM t WHERE k = 1;").1,
        Some("BEGIN BATCH DELETE FROM t WHERE k = 1;")
    );
    assert_eq!(
        pieces("begin batch apply batch;"),
        (vec!["begin batch apply batch"], None)
    );
}

#[test]
fn commands_end_with_their_line() {
    let text =
        "CONSISTENCY QUORUM\nserial consistency local_serial\nSELECT\n1;\nCOPY t (a,\n b) TO 'x\ny'\nexit";
    let expected = vec![
        "CONSISTENCY QUORUM",
        "serial consistency local_serial",
        "SELECT\n1",
        "COPY t (a,\n b) TO 'x\ny'",
        "exit",
    ];
    assert_eq!(pieces(text), (expected, None));
}

#[test]
fn commands_are_read_and_what_is_wrong_is_named() {
    assert_eq!(command::parse("SELECT 1"), Ok(Command::Cql));
    assert_eq!(command::parse("Serial x"), Ok(Command::Cql));
    assert_eq!(
        command::parse("paging 7"),
        Ok(Command::Paging(Some(Paging::On(7))))
    );
    assert_eq!(
        command::parse("PAGING off"),
        Ok(Command::Paging(Some(Paging::Off)))
    );
    assert_eq!(command::parse("SOURCE 'a''b'"), Ok(Command::Source("a'b".into())));
    assert_eq!(command::parse("show host"), Ok(Command::ShowHost));
    for wrong in [
        "PAGING 0",
        "TRACING MAYBE",
        "SERIAL CONSISTENCY ONE",
        "CONSISTENCY A B",
        "SOURCE x",
        "EXIT now",
        "LOGIN",
    ] {
        assert!(command::parse(wrong).is_err(), "{wrong}");
    }
}

/// Texts made of what matters to the splitter.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        ";",
        "'",
        "''",
        "\"",
        "$$",
        "--",
        "//",
        "/*",
        "*/",
        "\n",
        " ",
        "BEGIN",
        "BATCH",
        "APPLY",
        "UNLOGGED",
        "SELECT",
        "COPY",
        "CONSISTENCY",
        "(",
        ")",
        "é",
        "日",
        "x1",
        "?",
    ]);
    prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_piece_is_where_it_says(text in texts()) {
        let split = split(&text);
        let mut at = 0;
        for piece in split.pieces.iter().chain(&split.rest) {
            prop_assert!(piece.start >= at);
            prop_assert_eq!(&text[piece.start..piece.start + piece.text.len()], piece.text);
            prop_assert!(!piece.text.trim().is_empty());
            prop_assert!(line_of(&text, piece.start) >= 1);
            at = piece.start + piece.text.len();
        }
    }

    #[test]
    fn a_whole_text_stays_whole_before_another(text in texts(), next in texts()) {
        // What is complete does not depend on what follows it on another line.
        if split(&text).rest.is_none() {
            let joined = format!("{text}\n{next}");
            let (first, both) = (split(&text), split(&joined));
            prop_assert!(both.pieces.len() >= first.pieces.len());
            prop_assert_eq!(&both.pieces[..first.pieces.len()], &first.pieces[..]);
        }
    }

    #[test]
    fn statements_joined_are_split_again(numbers in prop::collection::vec(0u32..100, 0..8)) {
        let statements: Vec<String> = numbers.iter().map(|number| format!("SELECT '{number};' -- ;\nFROM t")).collect();
        let text = statements.join(";") + ";";
        prop_assert_eq!(pieces(&text).0, statements);
    }
}
