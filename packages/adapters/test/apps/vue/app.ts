import { defineComponent, h, ref, type Component } from "vue";
import { useQuery, useWorkerModule, useWorkerSelector, useWorkerStatus } from "peristyle-vue";
import type { Counter } from "../counter.worker.js";
import { Position, drawn, type State } from "../page.js";

const Status = defineComponent(() => {
  const status = useWorkerStatus();
  return () => h("p", { id: "status", title: status.value.error?.message }, drawn("status", status.value.status));
});

const Count = defineComponent(() => {
  const counter = useWorkerModule<Counter>("counter");
  const count = useWorkerSelector((state: State) => state.counter.count);
  return () => h("button", { id: "count", onClick: () => counter.increase() }, drawn("count", count.value));
});

const Parity = defineComponent(() => {
  const parity = useWorkerSelector(
    (state: State) => ({ isOdd: state.counter.count % 2 === 1 }),
    (a, b) => a.isOdd === b.isOdd,
  );
  return () => h("p", { id: "parity" }, drawn("parity", parity.value?.isOdd));
});

const Ships = defineComponent(() => {
  const ships = useQuery({ all: [Position] });
  return () => {
    drawn("ships", "");
    const items = ships.value?.map(([entity, { latitude }]) => h("li", { key: entity }, latitude.toFixed(3)));
    return h("ul", { id: "ships" }, items);
  };
});

const Still = defineComponent(() => {
  const ships = useQuery({ all: [Position], changed: [] });
  return () => h("p", { id: "still" }, drawn("still", ships.value?.length));
});

export const App: Component = defineComponent(() => {
  const isShown = ref(true);
  return () => [
    h("button", { id: "toggle", onClick: () => (isShown.value = !isShown.value) }, "toggle"),
    ...(isShown.value ? [h(Status), h(Count), h(Parity), h(Ships), h(Still)] : []),
  ];
});
