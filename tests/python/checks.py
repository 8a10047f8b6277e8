"""Named checks of a client, each run on its own; what came of them is printed as one JSON object.

`CHECKS=part` in the environment runs those with `part` in their names.
"""

import asyncio
import inspect
import json
import os
import traceback

_CHECKS = []


def check(function):
    """Registers a check: a function, or a coroutine function, of the setting."""
    _CHECKS.append(function)
    return function


def run(setting) -> None:
    """Runs all checks and prints `{"passed": [name…], "failed": {name: what happened}}`."""
    passed, failed = [], {}
    for function in [check for check in _CHECKS if os.environ.get("CHECKS", "") in check.__name__]:
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function(setting))
            else:
                function(setting)
            passed.append(function.__name__)
        except Exception:  # whatever it is belongs into the report
            failed[function.__name__] = traceback.format_exc(limit=-4)
    print(json.dumps({"passed": passed, "failed": failed}))


def raises(kind, call, *parts):
    """The error of a call that must fail, after checking that its text has these parts."""
    try:
        call()
    except kind as error:
        missing = [part for part in parts if part not in str(error)]
        assert not missing, f"{missing} not in: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def plain(text: str) -> str:
    """Lower case letters and digits with single blanks between words."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def times_in_order(segments) -> bool:
    """Whether segments follow each other."""
    times = [time for segment in segments for time in (segment["start"], segment["end"])]
    return times == sorted(times)
