"""Makes a repository with an empty archive for each time of a file: borg's command line, in one process."""

import os
import sys

from borg.archiver import Archiver


def run(*arguments):
    archiver = Archiver()
    assert archiver.run(archiver.parse_args(list(arguments))) == 0, arguments


repository, times = sys.argv[1:]
os.mkdir("empty")
run("init", "--encryption", "none", repository)
with open(times) as lines:
    for number, line in enumerate(lines):
        run("create", "--timestamp", line.strip(), "%s::%d" % (repository, number), "empty")
