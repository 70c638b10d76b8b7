"""Every type, bound and as a literal, null and not."""

import datetime
import ipaddress
import uuid
from decimal import Decimal

from cassandra.util import Date, Duration, SortedSet, Time

from checks import equal

SCALARS = {
    "ascii": ("plain", "'plain'"),
    "bigint": (-(2**63), "-9223372036854775808"),
    "blob": (bytes(range(256)), "0x" + bytes(range(256)).hex()),
    "boolean": (True, "true"),
    "date": (Date("2013-01-31"), "'2013-01-31'"),
    "decimal": (Decimal("-12345678901234567890.123456789"), "-12345678901234567890.123456789"),
    "double": (-2.5e300, "-2.5e300"),
    "duration": (Duration(14, 3, 5_000_000_000), "1y2mo3d5s"),
    "float": (0.15625, "0.15625"),
    "inet": ("2001:db8::7", "'2001:db8::7'"),
    "int": (-(2**31), "-2147483648"),
    "smallint": (-(2**15), "-32768"),
    "text": ("Stære ★ 🐦", "'Stære ★ 🐦'"),
    "time": (Time("23:59:59.999999999"), "'23:59:59.999999999'"),
    "timestamp": (datetime.datetime(2013, 1, 31, 23, 59, 59, 123000), "'2013-01-31T23:59:59.123Z'"),
    "timeuuid": (
        uuid.UUID("2b8e7d60-6b5a-11e2-9f3c-0123456789ab"),
        "2b8e7d60-6b5a-11e2-9f3c-0123456789ab",
    ),
    "tinyint": (-128, "-128"),
    "uuid": (
        uuid.UUID("7f1c3b1e-4d6a-4f0e-9b2a-0123456789ab"),
        "7f1c3b1e-4d6a-4f0e-9b2a-0123456789ab",
    ),
    "varchar": ("v", "'v'"),
    "varint": (-(10**40), "-1" + "0" * 40),
}


def check_scalars(cluster, session):
    columns = [f"c_{name}" for name in SCALARS]
    declared = ", ".join(f"{column} {name}" for column, name in zip(columns, SCALARS))
    session.execute(f"CREATE TABLE scalars (k int PRIMARY KEY, {declared})")
    names = ", ".join(columns)
    values = [value for value, _ in SCALARS.values()]
    insert = session.prepare(
        f"INSERT INTO scalars (k, {names}) VALUES (?, {', '.join('?' * len(columns))})"
    )
    session.execute(insert, [1, *values])
    literals = ", ".join(literal for _, literal in SCALARS.values())
    session.execute(f"INSERT INTO scalars (k, {names}) VALUES (2, {literals})")
    session.execute(insert, [3, *[None] * len(columns)])
    select = session.prepare(f"SELECT {names} FROM scalars WHERE k = ?")
    for key in (1, 2):
        row = session.execute(select, (key,)).one()
        for column, (name, (value, _)) in zip(row, SCALARS.items()):
            assert column == value, f"{name} of row {key}: {column!r} is not {value!r}"
    equal(set(session.execute(select, (3,)).one()), {None})


def check_keys_of_every_type(cluster, session):
    for name, (value, literal) in SCALARS.items():
        if name == "duration":  # Has no order, so that it can't be a clustering column.
            continue
        table = f"key_{name}"
        session.execute(f"CREATE TABLE {table} (k {name}, c {name}, v int, PRIMARY KEY (k, c))")
        insert = session.prepare(f"INSERT INTO {table} (k, c, v) VALUES (?, ?, 1)")
        session.execute(insert, (value, value))
        row = session.execute(f"SELECT k, c, v FROM {table} WHERE k = {literal} AND c >= {literal}").one()
        equal(tuple(row), (value, value, 1))


def check_collections(cluster, session):
    session.execute(
        "CREATE TABLE collections (k int PRIMARY KEY, l list<int>, s set<text>, m map<text, int>, "
        "f frozen<list<int>>, n map<int, frozen<set<text>>>)"
    )
    insert = session.prepare("INSERT INTO collections (k, l, s, m, f, n) VALUES (?, ?, ?, ?, ?, ?)")
    session.execute(insert, (1, [3, 1, 2], {"b", "a"}, {"x": 1}, [9, 9], {7: {"q"}}))
    select = "SELECT l, s, m, f, n FROM collections WHERE k = 1"
    row = session.execute(select).one()
    equal(row.l, [3, 1, 2])
    equal(row.s, SortedSet(["a", "b"]))
    equal(dict(row.m), {"x": 1})
    equal(row.f, [9, 9])
    equal({key: set(value) for key, value in row.n.items()}, {7: {"q"}})
    for change in (
        "l = l + [4]",
        "l = [0] + l",
        "s = s + {'c'}",
        "s = s - {'a'}",
        "m['y'] = 2",
        "m = m + {'z': 3}",
        "f = [1]",
    ):
        session.execute(f"UPDATE collections SET {change} WHERE k = 1")
    session.execute("DELETE m['x'] FROM collections WHERE k = 1")
    row = session.execute(select).one()
    equal(row.l, [0, 3, 1, 2, 4])
    equal(set(row.s), {"b", "c"})
    equal(dict(row.m), {"y": 2, "z": 3})
    equal(row.f, [1])
    session.execute("UPDATE collections SET l = [], s = {}, m = {} WHERE k = 1")
    row = session.execute(select).one()
    equal((row.l, row.s, row.m), (None, None, None))


def check_addresses(cluster, session):
    session.execute("CREATE TABLE addresses (k int PRIMARY KEY, a inet)")
    insert = session.prepare("INSERT INTO addresses (k, a) VALUES (?, ?)")
    for key, address in enumerate(["127.0.0.1", "::1"]):
        session.execute(insert, (key, address))
        found = session.execute("SELECT a FROM addresses WHERE k = %s", (key,)).one().a
        equal(ipaddress.ip_address(found), ipaddress.ip_address(address))
