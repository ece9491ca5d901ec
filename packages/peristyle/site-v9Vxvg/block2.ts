import { Interpolation, TickClock, component } from "peristyle/client";

const Position = component("Position", { x: "f32", y: "f32" });
export const between = new Interpolation([{ component: Position, field: "x" }, { component: Position, field: "y" }]);
export const ticks = new TickClock();

export {};
