//! Whether a statement may be carried out twice.
//!
//! A request whose node fell silent, or whose answer got lost, may have been carried out. It is sent once more only
//! if that is the same as once. Of a write that takes two things: its timestamp was chosen before it was first sent, for a
//! late copy with a timestamp of its own would undo what was written meanwhile; and it says what to store rather than how to change
//! what is there. Where the text does not tell, the answer is no: a counter and a list look alike to a parser.

use starling_cql::{
    BatchKind, ColumnSpec, CqlType,
    ast::{Assignment, Change, Delete, InValues, Literal, Relation, Statement, Term, Using},
    parser,
};

use crate::statement::is_read;

/// What a statement's text and its markers' types tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repetition {
    /// Twice is the same as once.
    Harmless,
    /// It is if the request gives the timestamp.
    HarmlessIfStamped,
    /// It may not be the same.
    Unknown,
}

impl Repetition {
    /// Of a statement with these bind markers.
    pub(crate) fn of(text: &str, markers: &[ColumnSpec]) -> Self {
        if is_read(text) {
            return Self::Harmless;
        }
        match parser::parse(text) {
            Ok(statement) => Reader { markers }.statement(&statement),
            // The server may know more than this client's parser; what it is remains unknown.
            Err(_) => Self::Unknown,
        }
    }

    /// Whether a request may be sent twice; `stamped` says that it carries a timestamp.
    pub(crate) fn is_harmless(self, stamped: bool) -> bool {
        match self {
            Self::Harmless => true,
            Self::HarmlessIfStamped => stamped,
            Self::Unknown => false,
        }
    }
}

/// Reads statements whose markers have these types.
struct Reader<'a> {
    markers: &'a [ColumnSpec],
}

impl Reader<'_> {
    fn statement(&self, statement: &Statement) -> Repetition {
        let (plain, using) = match statement {
            Statement::Insert(insert) => (self.all(&insert.values), &insert.using),
            Statement::Update(update) => {
                let sets = update
                    .assignments
                    .iter()
                    .all(|assignment| self.stores(assignment));
                (sets && self.relations(&update.relations), &update.using)
            }
            Statement::Delete(delete) => (self.deletes(delete), &delete.using),
            Statement::Batch(batch) if batch.kind != BatchKind::Counter => {
                let parts = batch.statements.iter().map(|part| self.statement(part));
                return match parts.max() {
                    Some(Repetition::HarmlessIfStamped) if is_stamped(&batch.using) => Repetition::Harmless,
                    worst => worst.unwrap_or(Repetition::Unknown),
                };
            }
            _ => return Repetition::Unknown,
        };
        match (plain, is_stamped(using)) {
            (true, true) => Repetition::Harmless,
            (true, false) => Repetition::HarmlessIfStamped,
            (false, _) => Repetition::Unknown,
        }
    }

    fn stores(&self, assignment: &Assignment) -> bool {
        match &assignment.change {
            Change::Set(value) => self.is_plain(value),
            // Elements have names of their own in sets and maps alone.
            Change::Add(value) | Change::Subtract(value) => self.is_set_or_map(value) && self.is_plain(value),
            // A list's elements are found by reading, and a map can't be told from a list.
            Change::Prepend(_) | Change::Element { .. } => false,
        }
    }

    fn deletes(&self, delete: &Delete) -> bool {
        delete.targets.iter().all(|target| target.element.is_none()) && self.relations(&delete.relations)
    }

    fn relations(&self, relations: &[Relation]) -> bool {
        relations.iter().all(|relation| match relation {
            Relation::Column { value, .. } => self.is_plain(value),
            Relation::In { values, .. } => match values {
                InValues::List(values) => self.all(values),
                InValues::Marker(_) => true,
            },
            // Rarely seen in writes, and not worth a rule.
            _ => false,
        })
    }

    fn all(&self, terms: &[Term]) -> bool {
        terms.iter().all(|term| self.is_plain(term))
    }

    /// Whether a term is the same each time, and is stored the same: elements of a list get new names each time.
    fn is_plain(&self, term: &Term) -> bool {
        match term {
            Term::Literal(_) => true,
            Term::Marker(marker) => {
                let spec = self.markers.get(usize::from(marker.index));
                spec.is_some_and(|spec| !matches!(spec.cql_type, CqlType::List { frozen: false, .. }))
            }
            Term::Set(terms) | Term::Tuple(terms) => self.all(terms),
            Term::Map(pairs) => pairs
                .iter()
                .all(|(key, value)| self.is_plain(key) && self.is_plain(value)),
            Term::Cast { term, .. } | Term::Hint { term, .. } => self.is_plain(term),
            // `now()` is another each time.
            Term::List(_) | Term::Call { .. } => false,
        }
    }

    fn is_set_or_map(&self, term: &Term) -> bool {
        match term {
            Term::Set(_) | Term::Map(_) => true,
            Term::Marker(marker) => {
                let spec = self.markers.get(usize::from(marker.index));
                spec.is_some_and(|spec| matches!(spec.cql_type, CqlType::Set { .. } | CqlType::Map { .. }))
            }
            _ => false,
        }
    }
}

/// Whether the text gives a timestamp. A marker may be left unset.
fn is_stamped(using: &Using) -> bool {
    matches!(&using.timestamp, Some(Term::Literal(literal)) if *literal != Literal::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Repetition {
        Repetition::of(text, &[])
    }

    #[test]
    fn reads_and_writes_with_a_timestamp_are_harmless() {
        for text in [
            "SELECT * FROM t",
            "INSERT INTO t (k, v) VALUES (1, {1: 'a'}) USING TIMESTAMP 5",
            "UPDATE t USING TIMESTAMP 5 SET v = 1, s = s + {2} WHERE k = 1",
            "DELETE v FROM t USING TIMESTAMP 5 WHERE k IN (1, 2) AND c > 3",
            "BEGIN BATCH USING TIMESTAMP 5 INSERT INTO t (k) VALUES (1); DELETE FROM t WHERE k = 2 APPLY BATCH",
        ] {
            assert_eq!(of(text), Repetition::Harmless, "{text}");
        }
    }

    #[test]
    fn plain_writes_are_harmless_once_stamped() {
        for text in [
            "INSERT INTO t (k, v) VALUES (1, 2) USING TTL 60",
            "UPDATE t SET v = null, s = s - {2} WHERE k = 1",
            "DELETE FROM t WHERE k = 1",
            "BEGIN UNLOGGED BATCH INSERT INTO t (k) VALUES (1); DELETE FROM t WHERE k = 2 APPLY BATCH",
        ] {
            assert_eq!(of(text), Repetition::HarmlessIfStamped, "{text}");
            assert!(of(text).is_harmless(true) && !of(text).is_harmless(false));
        }
    }

    #[test]
    fn what_depends_on_what_is_there_or_on_the_moment_is_not() {
        for text in [
            "UPDATE t SET c = c + 1 WHERE k = 1",
            "UPDATE t USING TIMESTAMP 5 SET l = l + [1] WHERE k = 1",
            "UPDATE t SET l = [1] + l WHERE k = 1",
            "UPDATE t SET l[0] = 1 WHERE k = 1",
            "DELETE l[0] FROM t WHERE k = 1",
            "INSERT INTO t (k, l) VALUES (1, [1, 2]) USING TIMESTAMP 5",
            "INSERT INTO t (k, v) VALUES (1, now())",
            "UPDATE t SET v = 1 WHERE k = uuid()",
            "INSERT INTO t (k) VALUES (1) IF NOT EXISTS",
            "BEGIN COUNTER BATCH UPDATE t SET c = c + 1 WHERE k = 1 APPLY BATCH",
            "BEGIN BATCH INSERT INTO t (k) VALUES (1); INSERT INTO t (k) VALUES (now()) APPLY BATCH",
            "TRUNCATE t",
            "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "no CQL at all",
        ] {
            assert_eq!(of(text), Repetition::Unknown, "{text}");
        }
    }

    #[test]
    fn markers_count_by_their_types() {
        let list = |frozen| CqlType::List {
            element: Box::new(CqlType::Int),
            frozen,
        };
        let set = CqlType::Set {
            element: Box::new(CqlType::Int),
            frozen: false,
        };
        let cases = [
            (
                "INSERT INTO t (v) VALUES (?)",
                CqlType::Int,
                Repetition::HarmlessIfStamped,
            ),
            ("INSERT INTO t (v) VALUES (?)", list(false), Repetition::Unknown),
            (
                "INSERT INTO t (v) VALUES (?)",
                list(true),
                Repetition::HarmlessIfStamped,
            ),
            (
                "UPDATE t SET v = v + ? WHERE k = 1",
                set,
                Repetition::HarmlessIfStamped,
            ),
            (
                "UPDATE t SET v = v + ? WHERE k = 1",
                list(false),
                Repetition::Unknown,
            ),
            (
                "UPDATE t SET v = v + ? WHERE k = 1",
                CqlType::Counter,
                Repetition::Unknown,
            ),
            // It may be left unset, and the node's clock is asked then.
            (
                "DELETE FROM t USING TIMESTAMP ? WHERE k = 1",
                CqlType::Bigint,
                Repetition::HarmlessIfStamped,
            ),
        ];
        for (text, cql_type, expected) in cases {
            let marker = ColumnSpec {
                keyspace: "ks".to_owned(),
                table: "t".to_owned(),
                name: "v".to_owned(),
                cql_type,
            };
            assert_eq!(Repetition::of(text, &[marker]), expected, "{text}");
        }
    }
}
