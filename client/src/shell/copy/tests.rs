//! COPY's grammar.

use super::{CopyOptions, Direction, Place, parse};

#[test]
fn reads_everything_it_may_have() {
    let text = "copy ks.\"My Table\" (a, \"B\") to 'it''s.csv' with header = TRUE and delimiter='|' AND null='<>' AND maxrows = -1";
    let command = parse(text).unwrap();
    assert_eq!(command.table, "ks.\"My Table\"");
    assert_eq!(command.columns, ["a", "B"]);
    assert_eq!(command.direction, Direction::To);
    assert_eq!(command.place, Place::File("it's.csv".to_owned()));
    let expected = CopyOptions {
        header: true,
        delimiter: b'|',
        null: "<>".to_owned(),
        ..CopyOptions::default()
    };
    assert_eq!(command.options, expected);
}

#[test]
fn standard_streams_go_one_way() {
    assert_eq!(parse("COPY t TO STDOUT").unwrap().place, Place::Standard);
    assert_eq!(parse("COPY t FROM stdin").unwrap().place, Place::Standard);
    assert!(parse("COPY t FROM STDOUT").is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("COPY", "COPY is written"),
        ("COPY t", "COPY is written"),
        ("COPY t TO x.csv", "single quotes"),
        ("COPY t TO 'x' WITH", "COPY is written"),
        ("COPY t TO 'x' WITH header", "needs a value"),
        ("COPY t TO 'x' WITH header = maybe", "true or false"),
        ("COPY t TO 'x' WITH delimiter = '||'", "one ASCII character"),
        ("COPY t TO 'x' WITH pagesize = 0", "at least 1"),
        ("COPY t TO 'x' WITH colour = 'red'", "no option COLOUR"),
        ("COPY t TO 'x", "never closed"),
        ("COPY t TO 'x' 'y'", "COPY is written"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
