/** @jsxImportSource solid-js */
import { For, Show, createSignal, type JSX } from "solid-js";
import type { WorkerClient } from "peristyle/client";
import type { WorldSource } from "peristyle/observe";
import { WorkerClientProvider, WorldProvider, useQuery, useWorkerModule, useWorkerSelector, useWorkerStatus } from "peristyle-solid";
import type { Counter } from "../counter.worker.js";
import { Position, drawn, type State } from "../page.js";

function Status(): JSX.Element {
  const status = useWorkerStatus();
  return <p id="status" title={status().error?.message}>{drawn("status", status().status)}</p>;
}

function Count(): JSX.Element {
  const counter = useWorkerModule<Counter>("counter");
  const count = useWorkerSelector((state: State) => state.counter.count);
  return (
    <button id="count" onClick={() => counter.increase()}>
      {drawn("count", count())}
    </button>
  );
}

function Parity(): JSX.Element {
  const parity = useWorkerSelector(
    (state: State) => ({ isOdd: state.counter.count % 2 === 1 }),
    (a, b) => a.isOdd === b.isOdd,
  );
  return <p id="parity">{drawn("parity", parity()?.isOdd)}</p>;
}

function Ships(): JSX.Element {
  const ships = useQuery({ all: [Position] });
  return (
    <ul id="ships" title={drawn("ships", ships())}>
      <For each={ships()}>{([, { latitude }]) => <li>{latitude.toFixed(3)}</li>}</For>
    </ul>
  );
}

function Still(): JSX.Element {
  const ships = useQuery({ all: [Position], changed: [] });
  return <p id="still">{drawn("still", ships()?.length)}</p>;
}

export function App(props: { client: WorkerClient<State>; world: WorldSource }): JSX.Element {
  const [isShown, setShown] = createSignal(true);
  return (
    <WorkerClientProvider client={props.client}>
      <WorldProvider world={props.world}>
        <button id="toggle" onClick={() => setShown(!isShown())}>toggle</button>
        <Show when={isShown()}>
          <Status />
          <Count />
          <Parity />
          <Ships />
          <Still />
        </Show>
      </WorldProvider>
    </WorkerClientProvider>
  );
}
