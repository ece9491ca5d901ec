console.log("never");
import "./no-such-module.mjs";
