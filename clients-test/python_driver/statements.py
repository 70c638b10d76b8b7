"""Prepared statements, paging, batches, consistency levels, tracing."""

from cassandra import ConsistencyLevel
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, SimpleStatement

from checks import equal


def check_prepared_statements(cluster, session):
    session.execute("CREATE TABLE prepared (k int, c int, v text, w text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO prepared (k, c, v, w) VALUES (?, ?, ?, ?)")
    equal([column.name for column in insert.column_metadata], ["k", "c", "v", "w"])
    equal(insert.routing_key_indexes, [0])
    session.execute(insert, (1, 1, "one", None))
    session.execute(insert, {"k": 1, "c": 2, "v": "two", "w": "w"})
    if cluster.protocol_version >= 4:
        # What is not set stays as it is.
        session.execute(insert, (1, 2, UNSET_VALUE, "x"))
    select = session.prepare("SELECT c, v, w FROM prepared WHERE k = ? AND c >= ?")
    equal([tuple(row) for row in session.execute(select, (1, 1))], [(1, "one", None), (2, "two", "x")])
    equal(list(session.execute(select, (9, 1))), [])
    named = session.prepare("SELECT v FROM prepared WHERE k = :key AND c = :col")
    equal(session.execute(named, {"key": 1, "col": 1}).one().v, "one")


def check_prepared_statements_notice_a_changed_table(cluster, session):
    session.execute("CREATE TABLE changing (k int PRIMARY KEY, a text)")
    session.execute("INSERT INTO changing (k, a) VALUES (1, 'a')")
    select = session.prepare("SELECT * FROM changing WHERE k = ?")
    equal(tuple(session.execute(select, (1,)).one()), (1, "a"))
    session.execute("ALTER TABLE changing ADD b int")
    session.execute("UPDATE changing SET b = 5 WHERE k = 1")
    if cluster.protocol_version >= 5:
        equal(tuple(session.execute(select, (1,)).one()), (1, "a", 5))


def check_paging(cluster, session):
    session.execute("CREATE TABLE pages (k int, c int, v text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO pages (k, c, v) VALUES (?, ?, ?)")
    rows = [(key, column) for key in range(20) for column in range(50)]
    for future in [session.execute_async(insert, (*row, "v" * 20)) for row in rows]:
        future.result()
    for size in (1, 7, 97, 999, 1000, 5000):
        if size == 1:
            query = "SELECT k, c FROM pages WHERE k = 3"
            expected = [row for row in rows if row[0] == 3]
        else:
            query, expected = "SELECT k, c FROM pages", rows
        found = [tuple(row) for row in session.execute(SimpleStatement(query, fetch_size=size))]
        equal(sorted(found), expected)
        equal(len(found), len(set(found)))
    first = session.execute(SimpleStatement("SELECT k, c FROM pages", fetch_size=300))
    equal(len(first.current_rows), 300)
    rest = session.execute(
        SimpleStatement("SELECT k, c FROM pages", fetch_size=5000), paging_state=first.paging_state
    )
    together = [tuple(row) for row in first.current_rows] + [tuple(row) for row in rest]
    equal(sorted(together), rows)
    equal(session.execute("SELECT count(*) FROM pages").one()[0], 1000)
    limited = session.execute(SimpleStatement("SELECT c FROM pages PER PARTITION LIMIT 2", fetch_size=9))
    equal(len(list(limited)), 40)
    equal(len(list(session.execute(SimpleStatement("SELECT c FROM pages LIMIT 123", fetch_size=50)))), 123)


def check_batches(cluster, session):
    session.execute("CREATE TABLE batches (k int, c int, v text, PRIMARY KEY (k, c))")
    insert = session.prepare("INSERT INTO batches (k, c, v) VALUES (?, ?, ?)")
    for key, kind in ((1, BatchType.LOGGED), (2, BatchType.UNLOGGED)):
        batch = BatchStatement(batch_type=kind)
        for column in range(10):
            batch.add(insert, (key, column, str(column)))
        batch.add(SimpleStatement("DELETE FROM batches WHERE k = %s AND c = %s"), (key, 100))
        batch.add("INSERT INTO batches (k, c, v) VALUES (%s, 99, 'text')", (key + 10,))
        session.execute(batch)
        found = session.execute("SELECT c FROM batches WHERE k = %s", (key,))
        equal([row.c for row in found], list(range(10)))
        equal(session.execute("SELECT v FROM batches WHERE k = %s", (key + 10,)).one().v, "text")
    session.execute("BEGIN BATCH INSERT INTO batches (k, c, v) VALUES (5, 1, 'a'); "
                    "UPDATE batches SET v = 'b' WHERE k = 5 AND c = 2; APPLY BATCH")
    equal(len(list(session.execute("SELECT * FROM batches WHERE k = 5"))), 2)


def check_consistency_levels(cluster, session):
    session.execute("CREATE TABLE levels (k text PRIMARY KEY, v text)")
    both = ["ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "LOCAL_ONE"]
    for name in both + ["ANY", "EACH_QUORUM"]:
        level = ConsistencyLevel.name_to_value[name]
        write = SimpleStatement("INSERT INTO levels (k, v) VALUES (%s, %s)", consistency_level=level)
        session.execute(write, (name, "v"))
    for name in both:
        level = ConsistencyLevel.name_to_value[name]
        read = SimpleStatement("SELECT v FROM levels WHERE k = %s", consistency_level=level)
        row = session.execute(read, (name,)).one()
        # One replica may not have what ANOTHER acknowledged yet; the others must.
        if name not in ("ONE", "LOCAL_ONE"):
            equal(row.v, "v")


def check_tracing(cluster, session):
    session.execute("CREATE TABLE traced (k int PRIMARY KEY, v text)")
    for query in ("INSERT INTO traced (k, v) VALUES (1, 'a')", "SELECT * FROM traced WHERE k = 1"):
        trace = session.execute(query, trace=True).get_query_trace(max_wait_sec=20)
        assert trace.coordinator and trace.request_type, vars(trace)
        assert trace.duration is not None
        assert len(trace.events) > 0, "no events"
        assert all(event.description and event.source for event in trace.events)


def check_timestamps_and_ttl(cluster, session):
    session.execute("CREATE TABLE times (k int PRIMARY KEY, v text)")
    session.execute("INSERT INTO times (k, v) VALUES (1, 'new') USING TIMESTAMP 2000")
    session.execute("INSERT INTO times (k, v) VALUES (1, 'old') USING TIMESTAMP 1000")
    row = session.execute("SELECT v, writetime(v) AS w FROM times WHERE k = 1").one()
    equal(tuple(row), ("new", 2000))
    session.execute("INSERT INTO times (k, v) VALUES (2, 'short') USING TTL 1000")
    left = session.execute("SELECT ttl(v) AS t FROM times WHERE k = 2").one().t
    assert 900 < left <= 1000, left


def check_static_columns_and_slices(cluster, session):
    session.execute("CREATE TABLE slices (k int, c int, s text static, v int, PRIMARY KEY (k, c)) "
                    "WITH CLUSTERING ORDER BY (c DESC)")
    session.execute("INSERT INTO slices (k, s) VALUES (1, 'static')")
    for column in range(10):
        session.execute("INSERT INTO slices (k, c, v) VALUES (1, %s, %s)", (column, column * column))
    equal([row.c for row in session.execute("SELECT c FROM slices WHERE k = 1")], list(range(9, -1, -1)))
    found = session.execute("SELECT c, s FROM slices WHERE k = 1 AND c > 2 AND c <= 5 ORDER BY c ASC")
    equal([tuple(row) for row in found], [(3, "static"), (4, "static"), (5, "static")])
    found = session.execute("SELECT c FROM slices WHERE k = 1 AND c IN (7, 1, 42)")
    equal(sorted(row.c for row in found), [1, 7])
    equal([row.v for row in session.execute("SELECT v FROM slices WHERE v = 49 ALLOW FILTERING")], [49])
    session.execute("DELETE FROM slices WHERE k = 1 AND c >= 5")
    equal(session.execute("SELECT count(*) FROM slices WHERE k = 1").one()[0], 5)
    session.execute("TRUNCATE slices")
    equal(list(session.execute("SELECT * FROM slices")), [])
