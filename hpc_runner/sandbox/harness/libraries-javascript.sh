#!/bin/sh
# Modules that programs count on and Debian doesn't package, into the directory $1.
set -eu
module=$1/node_modules/js-md5
mkdir -p "$module"
cat >"$module/index.js" <<'END'
// Stands in for npm's js-md5: the function alone.
const { createHash } = require("crypto");
const md5 = (text) => createHash("md5").update(text).digest("hex");
module.exports = md5;
module.exports.md5 = md5;
END
