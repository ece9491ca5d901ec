const { join } = require("path");
exports.name = __filename.split("/").at(-1);
exports.directory = __dirname.split("/").at(-1);
exports.data = require("./data.json");
exports.joined = join("a", "b");
exports.other = require("./other.cjs");
exports.isSame = require("./other.cjs") === exports.other;
