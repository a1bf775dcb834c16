// Made by `swarmw plugin build`: what a call throws besides a refusal is a fault, which
// ends the instance; it is told before that, for `swarmw plugin test` and `plugin logs`.
import host from "swarmw:types/host@0.1.0";
import * as own from "../../plugin.js";

function told(functions) {
  const calls = Object.entries(functions).map(([name, run]) => [
    name,
    (...args) => {
      try {
        return run.apply(functions, args);
      } catch (thrown) {
        if (thrown instanceof Error) {
          const lines = `${name}: ${thrown}\n${thrown.stack}`.split("\n");
          for (const line of lines.filter((line) => line.trim())) host.log("error", line);
        }
        throw thrown;
      }
    },
  ]);
  return Object.fromEntries(calls);
}

export const plugin = told(own.plugin);
export const KIND = told(own.KIND);
