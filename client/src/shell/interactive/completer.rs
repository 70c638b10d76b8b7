//! Tab: keywords, keyspaces, tables and columns.

use std::sync::Arc;

use arc_swap::ArcSwap;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::lexer::{self, Kind};
use crate::shell::{schema_names::SchemaNames, splitter};

/// Completes from the schema as last read.
pub(super) struct CqlCompleter {
    names: Arc<ArcSwap<SchemaNames>>,
    keyspace: Arc<ArcSwap<Option<String>>>,
}

/// The most suggestions at once.
const MAX_SUGGESTIONS: usize = 200;

impl CqlCompleter {
    pub(super) fn new(names: Arc<ArcSwap<SchemaNames>>, keyspace: Arc<ArcSwap<Option<String>>>) -> Self {
        Self { names, keyspace }
    }
}

impl Completer for CqlCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let typed = &line[..position];
        let keyspace = self.keyspace.load();
        let (start, values) = candidates(typed, &self.names.load(), keyspace.as_deref());
        let suggestions: Vec<Suggestion> = values
            .into_iter()
            .take(MAX_SUGGESTIONS)
            .map(|value| Suggestion {
                value,
                span: Span::new(start, position),
                append_whitespace: false,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

/// Where the word that is being typed begins, and what it may become.
pub(super) fn candidates(typed: &str, names: &SchemaNames, keyspace: Option<&str>) -> (usize, Vec<String>) {
    let whole = lexer::pieces(typed);
    if whole
        .last()
        .is_some_and(|(kind, _)| matches!(kind, Kind::Text | Kind::Comment | Kind::Number))
    {
        return (typed.len(), Vec::new());
    }
    let split = splitter::split(typed);
    let statement = split.rest.map_or(typed.len(), |rest| rest.start);
    let pieces = lexer::pieces(&typed[statement..]);
    let (word, before) = match pieces.split_last() {
        Some(((Kind::Word, word), before)) => (*word, before),
        _ => ("", &pieces[..]),
    };
    let start = typed.len() - word.len();
    let found = |values: Vec<String>| {
        let mut values: Vec<_> = values.into_iter().filter(|value| begins(value, word)).collect();
        values.dedup();
        (start, values)
    };
    if let [.., (Kind::Word, qualifier), (Kind::Other, ".")] = before {
        return found(
            names
                .tables(&qualifier.to_ascii_lowercase())
                .map(|name| starling_cql::parser::quoted(name))
                .collect(),
        );
    }
    let words: Vec<String> = before
        .iter()
        .filter(|(kind, _)| matches!(kind, Kind::Word))
        .map(|(_, word)| word.to_ascii_uppercase())
        .collect();
    match words.last().map(String::as_str) {
        Some("USE" | "KEYSPACE") => found(keyspaces(names)),
        Some("FROM" | "INTO" | "UPDATE" | "TABLE" | "TRUNCATE" | "COPY" | "DESC" | "DESCRIBE") => {
            let mut values: Vec<String> = keyspace
                .map(|keyspace| {
                    names
                        .tables(keyspace)
                        .map(|name| starling_cql::parser::quoted(name))
                        .collect()
                })
                .unwrap_or_default();
            values.extend(keyspaces(names).into_iter().map(|name| format!("{name}.")));
            if matches!(
                words.last().map(String::as_str),
                Some("DESC" | "DESCRIBE" | "TRUNCATE")
            ) {
                values.extend(keywords(word));
            }
            found(values)
        }
        Some("CONSISTENCY") => found(keywords(word)),
        _ => {
            let mut values = columns(&pieces, names);
            values.extend(keywords(word));
            found(values)
        }
    }
}

fn keyspaces(names: &SchemaNames) -> Vec<String> {
    names
        .keyspaces
        .keys()
        .map(|name| starling_cql::parser::quoted(name))
        .collect()
}

/// Columns of every table that the statement names.
fn columns(pieces: &[(Kind, &str)], names: &SchemaNames) -> Vec<String> {
    let mut columns: Vec<String> = pieces
        .iter()
        .filter(|(kind, _)| *kind == Kind::Word)
        .flat_map(|(_, word)| {
            names
                .columns(&word.to_ascii_lowercase())
                .cloned()
                .collect::<Vec<_>>()
        })
        .map(|name| starling_cql::parser::quoted(&name))
        .collect();
    columns.sort();
    columns
}

/// Keywords, in the case of what is being typed.
fn keywords(word: &str) -> Vec<String> {
    let lower = word.starts_with(char::is_lowercase);
    lexer::KEYWORDS
        .iter()
        .map(|keyword| {
            if lower {
                keyword.to_lowercase()
            } else {
                (*keyword).to_owned()
            }
        })
        .collect()
}

fn begins(value: &str, word: &str) -> bool {
    value
        .get(..word.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(word))
}
