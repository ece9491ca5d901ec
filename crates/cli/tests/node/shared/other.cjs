const lib = require("./lib.cjs");
module.exports = function other() {
  return lib.name;
};
