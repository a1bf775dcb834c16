"""What two daemons told the same program, compared.

    python3 compare.py OURS DOCKERS DIFFERENCES

OURS and DOCKERS are transcripts, see transcript.py. DIFFERENCES has a line for each place where
they may differ, with the reason behind a tab; `*` stands for the rest of a word, and one that
begins with `?` is there now and then. Fails on a difference that is not named, and on a name that
nothing differs in.
"""

import fnmatch
import json
import re
import sys

MISSING = object()


def main(ours, dockers, known):
    known = [line.split("\t") for line in lines(known)]
    ours, dockers = transcript(ours), transcript(dockers)
    met, unknown = set(), []
    for step in [*ours, *(step for step in dockers if step not in ours)]:
        found = differing(step, ours.get(step, MISSING), dockers.get(step, MISSING))
        for place, one, other in found:
            names = [name for name, _ in known if fits(place, name)]
            met.update(names)
            if not names:
                unknown.append(f"{place}\n  here   {shown(one)}\n  docker {shown(other)}")
    stale = [name for name, _ in known if not name.startswith("?") and name not in met]
    if stale:
        unknown.append("no differences any more: " + ", ".join(stale))
    if unknown:
        sys.exit("\n".join(unknown))
    print(f"{len(ours)} steps, {len(met)} differences, each with its reason")


def lines(path):
    with open(path) as file:
        read = (line.rstrip("\n") for line in file)
        return [line for line in read if line and not line.startswith("#")]


def transcript(path):
    # What has no tab a program that it ran has printed.
    steps = (line.split("\t", 1) for line in lines(path) if "\t" in line)
    return {step: json.loads(value) for step, value in steps}


def fits(place, name):
    # A list's brackets are no pattern.
    return fnmatch.fnmatchcase(place, name.removeprefix("?").replace("[", "[[]"))


def differing(place, one, other):
    """Places that differ, with what is there; all parts of a list are one place."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differing(f"{place}.{key}", one.get(key, MISSING), other.get(key, MISSING))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for part, others in zip(one, other):
            yield from differing(f"{place}[]", part, others)
    elif one is MISSING or other is MISSING or one != other:
        yield place, one, other


def shown(value):
    return "nothing" if value is MISSING else json.dumps(value)[:400]


main(*sys.argv[1:])
