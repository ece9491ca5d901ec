export * from "./a-source_FIXTURE.js";
export * from "./b-source_FIXTURE.js";
