//! HELP.

const COMMANDS: [(&str, &str); 14] = [
    ("CLEAR", "CLEAR (or CLS): clears the screen."),
    (
        "CONSISTENCY",
        "CONSISTENCY [LEVEL]: shows or sets how many replicas must answer (ONE, QUORUM, LOCAL_QUORUM, ALL, ...).",
    ),
    (
        "COPY",
        "COPY table [(column, ...)] TO|FROM 'file.csv'|STDOUT|STDIN [WITH option = value AND ...]: writes a table to CSV or\n\
         reads CSV into it. Options: HEADER (false), DELIMITER (,), QUOTE (\"), ESCAPE (\\), NULL (empty); TO: PAGESIZE (1000);\n\
         FROM: SKIPROWS (0), MAXROWS (-1: all), MAXREQUESTS (128 rows in flight), MAXERRORS (1000; -1: never stop), ATTEMPTS (5).",
    ),
    (
        "DESCRIBE",
        "DESCRIBE (or DESC) KEYSPACES | TABLES | SCHEMA | CLUSTER | KEYSPACE name | TABLE name: shows the schema.",
    ),
    ("EXIT", "EXIT (or QUIT, or Ctrl-D): ends the shell."),
    (
        "EXPAND",
        "EXPAND [ON|OFF]: shows or sets whether rows are printed a column a line.",
    ),
    ("HELP", "HELP [command]: shows this."),
    ("LOGIN", "LOGIN: not supported yet."),
    (
        "PAGING",
        "PAGING [ON|OFF|rows]: shows or sets how many rows come at once.",
    ),
    ("QUIT", "QUIT (or EXIT, or Ctrl-D): ends the shell."),
    (
        "SERIAL",
        "SERIAL CONSISTENCY [SERIAL|LOCAL_SERIAL]: shows or sets the level of conditional writes.",
    ),
    ("SHOW", "SHOW VERSION | HOST: shows the release, or the nodes."),
    ("SOURCE", "SOURCE 'file': carries out the statements of a file."),
    (
        "TRACING",
        "TRACING [ON|OFF]: shows or sets whether each statement is traced.",
    ),
];

/// The help, of everything or of one command.
pub(super) fn text(topic: Option<&str>) -> Result<String, String> {
    let Some(topic) = topic else {
        let names: Vec<_> = COMMANDS.iter().map(|(name, _)| *name).collect();
        return Ok(format!(
            "Statements of CQL end with ';' and may have many lines. Commands of the shell:\n\n  {}\n\n\
             HELP command tells more. Ctrl-C cancels a running statement.",
            names.join("  ")
        ));
    };
    let topic = match topic {
        "DESC" => "DESCRIBE",
        "CLS" => "CLEAR",
        other => other,
    };
    COMMANDS
        .iter()
        .find(|(name, _)| *name == topic)
        .map(|(_, text)| (*text).to_owned())
        .ok_or_else(|| format!("no help on {topic}; HELP alone lists the commands"))
}
