"""`--update-failure-action office-hours`: tasks are replaced only while somebody is there
to see it; the first one that fails pauses the update."""

import re
from datetime import datetime, timedelta

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.update import (
    Action_Complete,
    Action_Pause,
    Action_ReplaceNext,
    Action_Report,
    Action_WakeAt,
    Needs,
    Order,
    Outcome,
    ReplaceNextCall,
)
from wit_world.imports.types import (
    Claim_Name,
    IntRange,
    Metadata,
    OptionSpec,
    OptionType_Integer,
    OptionType_Text,
    Problem,
)

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WINDOW = re.compile(r"(?P<day>\w+)(-(?P<to>\w+))? (?P<open>\d?\d:\d\d)-(?P<close>\d?\d:\d\d)")
EPOCH = datetime(1970, 1, 1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
# What clocks of the world show.
OFFSETS = IntRange(-12 * 60, 14 * 60)


class Plugin(exports.Plugin):
    def describe(self):
        def option(name, help, ty, default):
            return OptionSpec(name, help, ty, required=False, default=default)

        hours = "Mon-Fri 09:00-17:00"
        return Metadata(
            name="example/office-hours",
            version="0.1.0",
            summary="Replaces tasks in office hours alone, and pauses at a failure",
            claims=[Claim_Name("office-hours")],
            options=[
                option("open", f"when, such as {hours}, Sat 10:00-12:00", OptionType_Text(), hours),
                option("utc-offset", "minutes east of UTC", OptionType_Integer(OFFSETS), "0"),
            ],
            grants=[],
        )


class Update(exports.Update):
    def check(self, policy):
        windows(policy)
        return Needs(targets=False, group_by=None)

    def begin(self, rollout, targets, view):
        return Outcome(b"", list(decide(rollout, view)))

    # All that matters is in the view, so there is no state to keep.
    def step(self, rollout, state, view):
        return Outcome(b"", list(decide(rollout, view)))

    def migrate(self, writer, state):
        return b""


def decide(rollout, view):
    failed = [task for task in view.ended if not task.ordered]
    if failed:
        yield Action_Pause(f"a new task failed: {len(failed)} in all, {failed[0].task_id} first")
        return
    counts = view.counts
    underway = counts.replacing + counts.down
    if counts.outdated + underway == 0:
        yield Action_Complete()
        return
    settings = values(rollout.policy.settings)
    offset = values(rollout.policy.options)["utc-offset"] * MINUTE
    now = EPOCH + timedelta(milliseconds=view.now_ms) + offset
    # Going back does not wait for Monday.
    opens = now if rollout.rolling_back else next_open(windows(rollout.policy), now)
    if opens > now:
        yield Action_Report(f"waiting for {opens:%A %H:%M}")
        yield Action_WakeAt((opens - offset - EPOCH) // timedelta(milliseconds=1))
        return
    at_once = settings["parallelism"] or rollout.total
    count = min(max(0, at_once - underway), counts.outdated)
    order = Order.START_FIRST if settings["order"] == "start-first" else Order.STOP_FIRST
    yield Action_ReplaceNext(ReplaceNextCall(count, order))


def next_open(windows, now):
    """Now, when it is open, or when it opens next."""
    midnight = datetime(now.year, now.month, now.day)
    starts = []
    for ahead in range(8):
        day = midnight + ahead * DAY
        for days, opens, closes in windows:
            if day.weekday() in days and day + closes > now:
                starts.append(max(now, day + opens))
    return min(starts)


def windows(policy):
    """Of each: its days, when it opens and when it closes, from midnight."""
    text = values(policy.options)["open"]
    found = [window(part.strip()) for part in text.split(",")]
    if None in found:
        message = f"'{text}' is not of the form Mon-Fri 09:00-17:00"
        raise Err([Problem("bad-hours", message, "open", None, "days are Mon to Sun")])
    return found


def window(text):
    match = WINDOW.fullmatch(text)
    if match is None:
        return None
    first, last = match["day"].lower(), (match["to"] or match["day"]).lower()
    opens, closes = clock(match["open"]), clock(match["close"])
    if first not in DAYS or last not in DAYS or not opens < closes <= DAY:
        return None
    first, last = DAYS.index(first), DAYS.index(last)
    # Fri-Mon goes over the end of the week.
    days = {day % 7 for day in range(first, last + (7 if last < first else 0) + 1)}
    return days, opens, closes


def clock(text):
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def values(options):
    return {option.name: option.value.value for option in options}
