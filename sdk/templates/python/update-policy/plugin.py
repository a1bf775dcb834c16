"""`--update-failure-action {{name}}`: a few targets first, the rest when those have run for
a while; back to the old version when more tasks fail than allowed."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.update import (
    Action_Complete,
    Action_Pause,
    Action_ReplaceNext,
    Action_Report,
    Action_RollbackTo,
    Action_WakeAt,
    Needs,
    Order,
    Outcome,
    ReplaceNextCall,
    RollbackCall,
)
from wit_world.imports.types import (
    Claim_Name,
    IntRange,
    Metadata,
    OptionSpec,
    OptionType_Duration,
    OptionType_Integer,
)

COUNT_MAX = 2**32 - 1


class Plugin(exports.Plugin):
    def describe(self):
        def option(name, help, ty, default):
            return OptionSpec(name, help, ty, required=False, default=default)

        count = OptionType_Integer
        return Metadata(
            name="{{publisher}}/{{name}}",
            version="0.1.0",
            summary="{{summary}}",
            claims=[Claim_Name("{{name}}")],
            options=[
                option("first", "targets to begin with", count(IntRange(1, COUNT_MAX)), "1"),
                option("watch", "how long those must run", OptionType_Duration(), "30s"),
                option("failures", "tasks that may fail", count(IntRange(0, COUNT_MAX)), "0"),
            ],
            grants=[],
        )


class Update(exports.Update):
    # What is raised refuses the service; the answer says what `begin` is told.
    def check(self, policy):
        return Needs(targets=False, group_by=None)

    def begin(self, rollout, targets, view):
        first = values(rollout.policy.options)["first"]
        state = {"phase": "first", "since": 0, "failed": 0}
        return Outcome(saved(state), [replace_next(rollout, first)])

    # What happened comes in, what to do goes out; `state` is all that is kept.
    def step(self, rollout, state, view):
        now = restored(state)
        actions = list(self.decide(rollout, now, view))
        return Outcome(saved(now), actions)

    def decide(self, rollout, now, view):
        options = values(rollout.policy.options)
        # A drained node is nobody's failure.
        now["failed"] += sum(not task.ordered for task in view.ended)
        if now["failed"] > options["failures"]:
            # A rollback that fails is left to the operator.
            told = f"{now['failed']} of the new tasks failed"
            if rollout.rolling_back:
                yield Action_Pause(told)
            else:
                yield Action_RollbackTo(RollbackCall(version=None, reason=told))
            return
        underway = view.counts.replacing + view.counts.down
        if now["phase"] == "first" and underway == 0:
            now["since"] = now["since"] or view.now_ms
            until = now["since"] + options["watch"]
            if view.now_ms < until:
                yield Action_Report("watching the first tasks")
                yield Action_WakeAt(until)
                return
            now["phase"] = "rest"
        if now["phase"] == "rest":
            at_once = max(1, values(rollout.policy.settings)["parallelism"])
            yield replace_next(rollout, min(max(0, at_once - underway), view.counts.outdated))
            if view.counts.outdated + underway == 0:
                yield Action_Complete()

    # What another version of this plugin wrote.
    def migrate(self, writer, state):
        raise Err(f"the state of version {writer} is not known")


def replace_next(rollout, count):
    start_first = values(rollout.policy.settings)["order"] == "start-first"
    order = Order.START_FIRST if start_first else Order.STOP_FIRST
    return Action_ReplaceNext(ReplaceNextCall(count, order))


def values(options):
    return {option.name: option.value.value for option in options}


def saved(state):
    return json.dumps(state).encode()


def restored(state):
    try:
        state = json.loads(state)
        phase, since, failed = state["phase"], state["since"], state["failed"]
        if phase in ("first", "rest") and type(since) is int and type(failed) is int:
            return {"phase": phase, "since": since, "failed": failed}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Err("the state is not one of this plugin")
