"""Runs checks: functions whose names begin with check_, each of which raises if something is wrong."""

import sys
import time
import traceback


def run(title, checks, *arguments):
    """Calls every check, says how each went, and returns how many failed."""
    failures = 0
    for check in checks:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            check(*arguments)
            print(f"  ok      {title}: {name}", flush=True)
        except Exception:
            failures += 1
            print(f"  FAILED  {title}: {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
    return failures


def checks_of(module):
    """The checks of a module, in the order of the file."""
    found = [value for name, value in vars(module).items() if name.startswith("check_") and callable(value)]
    return sorted(found, key=lambda check: check.__code__.co_firstlineno)


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def until(condition, what, seconds=30):
    """Waits until something that others bring about is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.05)


def raises(kind, call):
    """The error of this kind that `call` raises."""
    try:
        result = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {result!r}")
