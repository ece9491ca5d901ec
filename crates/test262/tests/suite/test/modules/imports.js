/*---
description: Modules import files, themselves, cycles, JSON and texts.
flags: [module]
---*/
import meta, { add, count } from "./a_FIXTURE.js";
import * as self from "./imports.js";
import { again } from "./cycle_FIXTURE.js";
import json from "./b_FIXTURE.json" with { type: "json" };
import text from "./text_FIXTURE" with { type: "text" };

export const own = "mine";
add();
assert.same(count, 1);
assert.same(self.own, "mine");
assert.same(again, "mine");
assert.same(json.answer, 42);
assert.same(text, "let no = script;\n");
assert(meta !== import.meta && meta.url.endsWith("/a_FIXTURE.js") && import.meta.url.endsWith("/imports.js"));
assert.same((await import("./a_FIXTURE.js")).count, 1);
assert.same((await import("./b_FIXTURE.json", { with: { type: "json" } })).default, json);
assert.same(this, undefined);
