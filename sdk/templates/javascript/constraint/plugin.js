// `{{word}}(KEY, LEAST)`: nodes whose label KEY is a number of at least LEAST.

export const plugin = {
  describe() {
    return {
      name: "{{publisher}}/{{name}}",
      version: "0.1.0",
      summary: "{{summary}}",
      claims: [{ tag: "call", val: "{{word}}" }],
      options: [
        {
          name: "absent",
          help: "whether nodes without the label pass",
          ty: { tag: "boolean" },
          required: false,
          default: "false",
        },
      ],
      grants: [],
    };
  },
};

const FORM = /^\s*{{word}}\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)\s*$/;

export const constraint = {
  // Reads an expression; what is thrown refuses the service.
  compile(expression, _options) {
    const [, key, least] = FORM.exec(expression) ?? [];
    if (key === undefined) {
      throw [
        {
          code: "bad-call",
          message: `'${expression}' is not of the form {{word}}(…)`,
          hint: "try {{word}}(KEY, 4)",
        },
      ];
    }
    if (!Number.isFinite(Number(least))) {
      throw [
        { code: "bad-number", message: `'${least}' is no number`, hint: "try {{word}}(KEY, 4)" },
      ];
    }
    return {
      plan: { tag: "ask" },
      reads: [{ name: `node.labels.${key}`, readAs: "number" }],
      reason: `node.labels.${key} is below ${least}`,
    };
  },

  // One verdict per row: a combination of values that nodes have, not a node.
  test(expression, options, batch) {
    const least = Number(FORM.exec(expression)[2]);
    const absent = options.find((option) => option.name === "absent").value.val;
    const { present, cells } = batch.columns[0];
    return Array.from({ length: batch.rows }, (_, row) =>
      present[row] ? cells.val[row] >= least : absent,
    );
  },
};
