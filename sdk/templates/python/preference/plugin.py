"""`--placement-pref {{name}}=node.labels.KEY`: as even as room allows over the values of
KEY, but never more than `most` tasks of a service per value."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.preference import Allocation, Bins_ByColumn, Class, CompiledInfo, Refusal
from wit_world.imports.types import (
    Claim_Name,
    IntRange,
    Metadata,
    OptionSpec,
    OptionType_Integer,
    Problem,
)

LABEL = "node.labels."


class Plugin(exports.Plugin):
    def describe(self):
        return Metadata(
            name="{{publisher}}/{{name}}",
            version="0.1.0",
            summary="{{summary}}",
            claims=[Claim_Name("{{name}}")],
            options=[
                OptionSpec(
                    name="most",
                    help="the most tasks of a service per value",
                    ty=OptionType_Integer(IntRange(1, 2**32 - 1)),
                    required=False,
                    default="1000",
                )
            ],
            grants=[],
        )


class Preference(exports.Preference):
    # Reads an argument; what is raised refuses the service.
    def compile(self, name, argument, options):
        if not argument.startswith(LABEL) or argument == LABEL:
            message = f"'{argument}' is no label of a node"
            raise Err([Problem("bad-column", message, None, None, "try node.labels.zone")])
        return CompiledInfo(bins=Bins_ByColumn(argument), reads=[], loads=[])

    # Asked of bins by class alone, and of weights.
    def classify(self, name, argument, options, batch):
        return [Class("", 0.0)] * batch.rows

    # All services that use the preference, in one call: service q has the bins from
    # `first[q]` up to `first[q + 1]`.
    def allocate(self, name, argument, options, ask):
        most = next(option.value.value for option in options if option.name == "most")
        counts, refusals = [], []
        for tasks, start, end in zip(ask.tasks, ask.first, ask.first[1:]):
            had = ask.service_tasks[start:end]
            room = ask.room[start:end]
            fits = [min(room, max(0, most - had)) for had, room in zip(had, room)]
            given = level(tasks, had, fits)
            if sum(given) < tasks:
                reason = f"{most} tasks of a service are the most"
                pairs = enumerate(zip(given, room), start)
                refusals += [Refusal(bin, reason) for bin, (count, room) in pairs if count < room]
            counts += given
        return Allocation(counts, refusals)


def level(tasks, had, fits):
    """So many tasks to the bins that have the fewest: all are filled to one height, from
    one bin's floor or ceiling to the next, however many tasks there are."""
    edges = sorted(
        [(low, 1) for low in had] + [(low + more, -1) for low, more in zip(had, fits)]
    )
    height, open, left = 0, 0, tasks
    for at, opens in edges:
        cost = open * (at - height)
        if cost > left:
            break
        height, open, left = at, open + opens, left - cost
    if open > 0:
        height += left // open
        left %= open
    given = [min(more, max(0, height - low)) for low, more in zip(had, fits)]
    # Not enough for one more each: the first ones get it.
    for bin, (low, more) in enumerate(zip(had, fits)):
        if left > 0 and given[bin] < more and low + given[bin] == height:
            given[bin] += 1
            left -= 1
    return given
