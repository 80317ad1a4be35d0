// Runs solution.js and tests.js as two scripts of one global scope, as one file would be (a module
// is run by node itself, after this), and says at the end that it has got there.  An assertion that fails by console.assert is counted;
// console can't be replaced, neither by assignment nor by a declaration of that name.
"use strict";
const console = globalThis.console;
{
  const fs = require("fs");
  const vm = require("vm");
  const [word, file] = process.env.HPC_RUNNER_ENDING.split(" ");
  delete process.env.HPC_RUNNER_ENDING;
  const { openSync, writeSync } = fs;
  const { error } = console;
  let failed = 0;
  const assert = (holds, ...said) => {
    if (holds) return;
    failed += 1;
    error("Assertion failed:", ...said);
  };
  const fixed = { writable: false, configurable: false };
  Object.defineProperty(console, "assert", { value: assert, ...fixed });
  for (const [name, value] of Object.entries({ console, require, module, exports })) {
    const loose = { writable: true, configurable: true };
    Object.defineProperty(globalThis, name, { value, ...(name === "console" ? fixed : loose) });
  }
  // Not "exit", which process.exit() brings about as well.
  process.on("beforeExit", () => {
    if (failed) process.exitCode = 1;
    else if (!process.exitCode) writeSync(openSync(file, "w"), word);
  });
  const names = ["solution.js", "tests.js"].filter((name) => fs.existsSync(name));
  const scripts = names.map(
    (name) => new vm.Script(fs.readFileSync(name, "utf8"), { filename: name }),
  );
  for (const script of scripts) script.runInThisContext();
}
