// `--placement-pref {{name}}=node.labels.KEY`: as even as room allows over the values
// of KEY, but never more than `most` tasks of a service per value.

export const plugin = {
  describe() {
    return {
      name: "{{publisher}}/{{name}}",
      version: "0.1.0",
      summary: "{{summary}}",
      claims: [{ tag: "name", val: "{{name}}" }],
      options: [
        {
          name: "most",
          help: "the most tasks of a service per value",
          ty: { tag: "integer", val: { min: 1, max: 4294967295 } },
          required: false,
          default: "1000",
        },
      ],
      grants: [],
    };
  },
};

const LABEL = "node.labels.";

export const preference = {
  // Reads an argument; what is thrown refuses the service.
  compile(_name, argument, _options) {
    if (!argument.startsWith(LABEL) || argument === LABEL) {
      throw [
        {
          code: "bad-column",
          message: `'${argument}' is no label of a node`,
          hint: "try node.labels.zone",
        },
      ];
    }
    return { bins: { tag: "by-column", val: argument }, reads: [], loads: [] };
  },

  // Asked of bins by class alone, and of weights.
  classify(_name, _argument, _options, batch) {
    return Array.from({ length: batch.rows }, () => ({ label: "", weight: 0 }));
  },

  // All services that use the preference, in one call: service q has the bins from
  // `first[q]` up to `first[q + 1]`.
  allocate(_name, _argument, options, ask) {
    const most = options.find((option) => option.name === "most").value.val;
    const { first, tasks, room, serviceTasks: had } = ask;
    const counts = [];
    const refusals = [];
    for (let q = 0; q < tasks.length; q += 1) {
      // The largest figures come as negative ones: `>>> 0` makes them what they were.
      let left = tasks[q] >>> 0;
      const to = first[q + 1];
      const bins = [];
      for (let bin = first[q]; bin < to; bin += 1) {
        const more = most > had[bin] ? most - had[bin] : 0;
        const fits = room[bin] >>> 0;
        bins.push(had[bin], fits < more ? fits : more);
      }
      const height = level(left, bins);
      left -= below(height, bins);
      for (let bin = 0; bin < bins.length; bin += 2) {
        const more = height - bins[bin];
        let count = more > 0 ? (more < bins[bin + 1] ? more : bins[bin + 1]) : 0;
        // Not enough for one more each: the first ones get it.
        if (left > 0 && count === more && count < bins[bin + 1]) {
          count += 1;
          left -= 1;
        }
        counts.push(count);
      }
      for (let bin = first[q]; left > 0 && bin < to; bin += 1) {
        if (counts[bin] < room[bin] >>> 0) {
          refusals.push({ bin, reason: `${most} tasks of a service are the most` });
        }
      }
    }
    return { counts, refusals };
  },
};

// The height up to which all bins can be filled with so many tasks, found by halving. Bins
// are pairs: what one has, and how many more fit.
function level(tasks, bins) {
  let low = Infinity;
  let high = 0;
  let top = 0;
  for (let bin = 0; bin < bins.length; bin += 2) {
    const had = bins[bin];
    if (had < low) low = had;
    if (had > top) top = had;
    if (had + bins[bin + 1] > high) high = had + bins[bin + 1];
  }
  if (high > top + tasks) high = top + tasks;
  while (low < high) {
    const height = Math.ceil((low + high) / 2);
    if (below(height, bins) <= tasks) low = height;
    else high = height - 1;
  }
  return low;
}

// How many tasks fill all bins up to a height.
function below(height, bins) {
  let sum = 0;
  for (let bin = 0; bin < bins.length; bin += 2) {
    const more = height - bins[bin];
    if (more > 0) sum += more < bins[bin + 1] ? more : bins[bin + 1];
  }
  return sum;
}
