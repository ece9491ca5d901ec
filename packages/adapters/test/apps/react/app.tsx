import { useState, type ReactElement } from "react";
import type { WorkerClient } from "peristyle/client";
import type { WorldSource } from "peristyle/observe";
import { WorkerClientProvider, WorldProvider, useQuery, useWorkerModule, useWorkerSelector, useWorkerStatus } from "peristyle-react";
import type { Counter } from "../counter.worker.js";
import { Position, drawn, type State } from "../page.js";

function Status(): ReactElement {
  const { status, error } = useWorkerStatus();
  return <p id="status" title={error?.message}>{drawn("status", status)}</p>;
}

function Count(): ReactElement {
  const counter = useWorkerModule<Counter>("counter");
  const count = useWorkerSelector((state: State) => state.counter.count);
  return (
    <button id="count" onClick={() => void counter.increase()}>
      {drawn("count", count)}
    </button>
  );
}

function Parity(): ReactElement {
  const parity = useWorkerSelector(
    (state: State) => ({ isOdd: state.counter.count % 2 === 1 }),
    (a, b) => a.isOdd === b.isOdd,
  );
  return <p id="parity">{drawn("parity", parity?.isOdd)}</p>;
}

function Ships(): ReactElement {
  const ships = useQuery({ all: [Position] });
  return <ul id="ships">{ships?.map(([entity, { latitude }]) => <li key={entity}>{latitude.toFixed(3)}</li>)}{drawn("ships", "")}</ul>;
}

function Still(): ReactElement {
  const ships = useQuery({ all: [Position], changed: [] });
  return <p id="still">{drawn("still", ships?.length)}</p>;
}

function Shown(): ReactElement {
  const [isShown, setShown] = useState(true);
  return (
    <>
      <button id="toggle" onClick={() => setShown(!isShown)}>toggle</button>
      {isShown && <><Status /><Count /><Parity /><Ships /><Still /></>}
    </>
  );
}

export function App({ client, world }: { client: WorkerClient<State>; world: WorldSource }): ReactElement {
  return (
    <WorkerClientProvider client={client}>
      <WorldProvider world={world}>
        <Shown />
      </WorldProvider>
    </WorkerClientProvider>
  );
}
