//! Pieces of CQL as they are being typed, for colours and completion. Nothing here is ever wrong input.

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    QuotedName,
    Comment,
    /// White space and signs.
    Other,
}

/// Splits a text into pieces that make it up.
pub(super) fn pieces(text: &str) -> Vec<(Kind, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = piece(rest, first);
        pieces.push((kind, &rest[..length]));
        rest = &rest[length..];
    }
    pieces
}

fn piece(rest: &str, first: char) -> (Kind, usize) {
    let while_true = |keep: fn(char) -> bool| rest.find(|each: char| !keep(each)).unwrap_or(rest.len());
    let until = |from: usize, end: &str| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("--") || rest.starts_with("//") {
        (Kind::Comment, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Comment, until(2, "*/"))
    } else if rest.starts_with("$$") {
        (Kind::Text, until(2, "$$"))
    } else if first == '\'' {
        (Kind::Text, until(1, "'"))
    } else if first == '"' {
        (Kind::QuotedName, until(1, "\""))
    } else if first.is_ascii_digit() {
        (
            Kind::Number,
            while_true(|each| each.is_ascii_alphanumeric() || matches!(each, '.' | '-' | '_')),
        )
    } else if first.is_alphabetic() || first == '_' {
        (
            Kind::Word,
            while_true(|each| each.is_alphanumeric() || each == '_'),
        )
    } else {
        (Kind::Other, first.len_utf8())
    }
}

/// Words of CQL and of the shell, in upper case and in order.
pub(super) const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALLOW",
    "ALTER",
    "AND",
    "ANY",
    "APPLY",
    "AS",
    "ASC",
    "ASCII",
    "BATCH",
    "BEGIN",
    "BIGINT",
    "BLOB",
    "BOOLEAN",
    "BY",
    "CLEAR",
    "CLUSTER",
    "CLUSTERING",
    "CONSISTENCY",
    "CONTAINS",
    "COPY",
    "COUNT",
    "COUNTER",
    "CREATE",
    "DATE",
    "DECIMAL",
    "DELETE",
    "DELIMITER",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "DURATION",
    "EACH_QUORUM",
    "EXISTS",
    "EXIT",
    "EXPAND",
    "FALSE",
    "FILTERING",
    "FLOAT",
    "FROM",
    "FROZEN",
    "GROUP",
    "HEADER",
    "HELP",
    "HOST",
    "IF",
    "IN",
    "INET",
    "INSERT",
    "INT",
    "INTO",
    "JSON",
    "KEY",
    "KEYSPACE",
    "KEYSPACES",
    "LIMIT",
    "LIST",
    "LOCAL_ONE",
    "LOCAL_QUORUM",
    "LOCAL_SERIAL",
    "MAP",
    "NOT",
    "NULL",
    "OFF",
    "ON",
    "ONE",
    "ORDER",
    "PAGING",
    "PARTITION",
    "PER",
    "PRIMARY",
    "QUIT",
    "QUORUM",
    "REPLICATION",
    "SCHEMA",
    "SELECT",
    "SERIAL",
    "SET",
    "SHOW",
    "SMALLINT",
    "SOURCE",
    "STATIC",
    "STDIN",
    "STDOUT",
    "TABLE",
    "TABLES",
    "TEXT",
    "THREE",
    "TIME",
    "TIMESTAMP",
    "TIMEUUID",
    "TINYINT",
    "TO",
    "TOKEN",
    "TRACING",
    "TRUE",
    "TRUNCATE",
    "TTL",
    "TWO",
    "UNLOGGED",
    "UPDATE",
    "USE",
    "USING",
    "UUID",
    "VALUES",
    "VARCHAR",
    "VARINT",
    "VERSION",
    "WHERE",
    "WITH",
];

/// Whether CQL or the shell reads the word as its own.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}
