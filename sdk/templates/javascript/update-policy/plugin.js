// `--update-failure-action {{name}}`: a few targets first, the rest when those have
// run for a while; back to the old version when more tasks fail than allowed.

export const plugin = {
  describe() {
    const option = (name, help, ty, value) => ({
      name,
      help,
      ty,
      required: false,
      default: value,
    });
    const count = (min) => ({ tag: "integer", val: { min, max: 4294967295 } });
    return {
      name: "{{publisher}}/{{name}}",
      version: "0.1.0",
      summary: "{{summary}}",
      claims: [{ tag: "name", val: "{{name}}" }],
      options: [
        option("first", "targets to begin with", count(1), "1"),
        option("watch", "how long those must run", { tag: "duration" }, "30s"),
        option("failures", "tasks that may fail", count(0), "0"),
      ],
      grants: [],
    };
  },
};

export const update = {
  // What is thrown refuses the service; the answer says what `begin` is told.
  check(_policy) {
    return { targets: false };
  },

  begin(rollout, _targets, _view) {
    const { first } = values(rollout.policy.options);
    const actions = [replaceNext(rollout, first)];
    return { state: saved({ phase: "first", since: 0, failed: 0 }), actions };
  },

  // What happened comes in, what to do goes out; `state` is all that is kept.
  step(rollout, state, view) {
    const now = restored(state);
    const options = values(rollout.policy.options);
    const actions = [];
    const end = () => ({ state: saved(now), actions });

    // A drained node is nobody's failure.
    now.failed += view.ended.filter((task) => !task.ordered).length;
    if (now.failed > options.failures) {
      // A rollback that fails is left to the operator.
      const told = `${now.failed} of the new tasks failed`;
      actions.push(
        rollout.rollingBack
          ? { tag: "pause", val: told }
          : { tag: "rollback-to", val: { reason: told } },
      );
      return end();
    }
    const { outdated, replacing, down } = view.counts;
    const underway = replacing + down;
    if (now.phase === "first" && underway === 0) {
      now.since ||= view.nowMs;
      const until = now.since + options.watch;
      if (view.nowMs < until) {
        actions.push({ tag: "report", val: "watching the first tasks" });
        actions.push({ tag: "wake-at", val: until });
        return end();
      }
      now.phase = "rest";
    }
    if (now.phase === "rest") {
      const { parallelism } = values(rollout.policy.settings);
      const more = Math.max(0, Math.max(1, parallelism) - underway);
      actions.push(replaceNext(rollout, Math.min(more, outdated)));
      if (outdated + underway === 0) actions.push({ tag: "complete" });
    }
    return end();
  },

  // What another version of this plugin wrote.
  migrate(writer, _state) {
    throw `the state of version ${writer} is not known`;
  },
};

function replaceNext(rollout, count) {
  const { order } = values(rollout.policy.settings);
  return { tag: "replace-next", val: { count, order } };
}

// Options by name.
function values(options) {
  return Object.fromEntries(options.map(({ name, value }) => [name, value.val]));
}

// The state is bytes: here the letters of a JSON text.
function saved(state) {
  return Uint8Array.from(JSON.stringify(state), (letter) => letter.charCodeAt(0));
}

function restored(bytes) {
  try {
    const { phase, since, failed } = JSON.parse(String.fromCharCode(...bytes));
    if (["first", "rest"].includes(phase) && [since, failed].every(Number.isSafeInteger)) {
      return { phase, since, failed };
    }
  } catch {
    // Told below.
  }
  throw "the state is not one of this plugin";
}
