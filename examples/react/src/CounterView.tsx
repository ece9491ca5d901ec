import type { ReactElement } from "react";
import { useWorkerModule, useWorkerSelector } from "peristyle-react";
import type { AppState, Counter } from "./modules";

export function CounterView(): ReactElement {
  const counter = useWorkerModule<Counter>("counter");
  const count = useWorkerSelector((state: AppState) => state.counter.count);
  return (
    <section>
      <h2>A counter</h2>
      <button id="increase" onClick={() => counter.increase()}>
        {count ?? "…"}
      </button>
    </section>
  );
}
