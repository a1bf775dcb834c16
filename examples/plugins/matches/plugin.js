// `matches(COLUMN, PATTERN)`: nodes where the value of COLUMN matches a regular expression.

export const plugin = {
  describe() {
    return {
      name: "example/matches",
      version: "0.1.0",
      summary: "Nodes where an attribute matches a regular expression",
      claims: [{ tag: "call", val: "matches" }],
      options: [
        {
          name: "ignore-case",
          help: "whether A is a",
          ty: { tag: "boolean" },
          required: false,
          default: "false",
        },
      ],
      grants: [],
    };
  },
};

const NAMED = /^(node\.(id|hostname|role|ip|platform\.os|platform\.arch)|engine\.version)$/;
const LABEL = /^(node|engine)\.labels\../;

export const constraint = {
  compile(expression, options) {
    const { column, pattern } = read(expression);
    if (!NAMED.test(column) && !LABEL.test(column)) {
      throw problem(expression, "bad-column", `'${column}' is no attribute of a node`, column, {
        hint: "try node.hostname, or node.labels.KEY",
      });
    }
    regular(expression, pattern, options);
    return {
      plan: { tag: "ask" },
      reads: [{ name: column, readAs: "text" }],
      reason: `${column} does not match ${pattern}`,
    };
  },

  // One verdict per value that nodes have: a thousand nodes named gpu-1 to gpu-1000 are a
  // thousand rows, once; three zones are three.
  test(expression, options, batch) {
    const matches = regular(expression, read(expression).pattern, options);
    const { present, cells } = batch.columns[0];
    return cells.val.map((value, row) => present[row] && matches.test(value));
  },
};

// `matches(` COLUMN `,` PATTERN `)`. Commas and brackets of the pattern are its own.
function read(expression) {
  const [, column, pattern] = /^\s*matches\(\s*([^,]+?)\s*,\s*(.+?)\s*\)\s*$/.exec(expression) ?? [];
  if (pattern === undefined) {
    throw problem(expression, "bad-call", `'${expression}' is not of the form matches(…)`, "", {
      hint: "try matches(node.hostname, ^gpu-[0-9]+$)",
    });
  }
  return { column, pattern };
}

function regular(expression, pattern, options) {
  const ignoreCase = options.find(({ name }) => name === "ignore-case").value.val;
  try {
    return new RegExp(pattern, ignoreCase ? "iu" : "u");
  } catch (error) {
    throw problem(expression, "bad-pattern", error.message, pattern, {});
  }
}

// A refusal, with the caret below the part at fault. Carets count bytes.
function problem(expression, code, message, part, more) {
  const start = bytes(expression.slice(0, expression.lastIndexOf(part)));
  const at = { start, end: start + bytes(part) };
  return [{ code, message, ...(part ? { at } : {}), ...more }];
}

function bytes(text) {
  return encodeURIComponent(text).replace(/%../g, "x").length;
}
