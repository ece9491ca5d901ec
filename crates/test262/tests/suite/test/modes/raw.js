/*---
description: Runs as it is.
flags: [raw]
---*/
"use strict";
if (typeof assert !== "undefined") throw new Error("there is a harness");
if ((function () { return this; })() !== undefined) throw new Error("its directive was not the first");
