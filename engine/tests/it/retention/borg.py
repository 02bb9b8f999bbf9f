"""Borg's own prune functions, unmodified, on cases from a file: one JSON object a line, one line of answers each.

Without a file: the names of the rules that this borg has, in the order in which it applies them.
"""

import json
import os
import sys
import time
from collections import namedtuple
from datetime import datetime, timedelta, timezone

from borg.helpers import misc

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
Archive = namedtuple("Archive", "id ts")


class Clock(datetime):
    """Stands where borg asks what time it is."""

    moment = EPOCH

    @classmethod
    def now(cls, tz=None):
        return cls.moment


def moment(time):
    seconds, microseconds = time
    return EPOCH + timedelta(seconds=seconds, microseconds=microseconds)


def answer(case):
    os.environ["TZ"] = case["zone"]
    time.tzset()
    Clock.moment = moment(case["now"])
    archives = [Archive(number, moment(time)) for number, time in enumerate(case["archives"])]
    newest_first = sorted(archives, key=lambda archive: archive.ts, reverse=True)
    kept = {}
    if case["within"]:
        misc.prune_within(newest_first, case["within"], kept)
    for rule in misc.PRUNING_PATTERNS:
        if rule in case["keep"]:
            misc.prune_split(newest_first, rule, case["keep"][rule], kept)
    return ["%s #%d" % kept[archive.id] if archive.id in kept else None for archive in archives]


misc.datetime = Clock
if len(sys.argv) == 1:
    print(json.dumps(list(misc.PRUNING_PATTERNS)))
else:
    with open(sys.argv[1]) as cases:
        for line in cases:
            print(json.dumps(answer(json.loads(line))))
