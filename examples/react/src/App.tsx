import type { ReactElement } from "react";
import { useWorkerStatus } from "peristyle-react";
import { CounterView } from "./CounterView";
import { ShipsView } from "./ShipsView";
import { TableView } from "./TableView";

export function App(): ReactElement {
  const { status, error } = useWorkerStatus();
  return (
    <main>
      <h1>Peristyle in React</h1>
      <p>
        The app runs in a worker: <output id="status">{status}</output> {error?.message}
      </p>
      <CounterView />
      <TableView />
      <ShipsView />
    </main>
  );
}
