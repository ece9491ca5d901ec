// main.mjs
import { Timeline, chromeTrace, gantt, statistics } from "peristyle";

const timeline = new Timeline({ lanes: 1, spansPerLane: 1024 });
const [frame, physics] = [timeline.name("frame"), timeline.name("physics")];
timeline.setEnabled(true);

for (let number = 1; number <= 3; number++) {
  const began = timeline.begin();
  const start = timeline.begin();
  // The system's work.
  timeline.end(0, "system", physics, start, 512);
  timeline.end(0, "frame", frame, began, 0, number);
}

const recording = timeline.read();
console.log(statistics(recording).systems.map(({ name, count, rows }) => ({ name, count, rows })));
console.log(gantt(recording).startsWith("<svg"), JSON.parse(chromeTrace(recording)).traceEvents.length);
