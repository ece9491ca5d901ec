import { memo, useState, type ReactElement } from "react";
import { useWorkerModule, useWorkerSelector } from "peristyle-react";
import type { AppState, Item, Table } from "./modules";

/** Drawn again when its item is another: what did not change is the same object. */
const Row = memo(function Row({ item }: { item: Readonly<Item> }): ReactElement {
  const table = useWorkerModule<Table>("table");
  return (
    <tr data-sold={item.isSold}>
      <td>{item.name}</td>
      <td>{item.price}</td>
      <td>
        <button disabled={item.isSold} onClick={() => table.sell(item.id)}>
          sell
        </button>
        <button onClick={() => table.remove(item.id)}>remove</button>
      </td>
    </tr>
  );
});

export function TableView(): ReactElement {
  const table = useWorkerModule<Table>("table");
  const items = useWorkerSelector((state: AppState) => state.table.items);
  const worth = useWorkerSelector((state: AppState) =>
    state.table.items.reduce((sum, { price, isSold }) => (isSold ? sum : sum + price), 0),
  );
  const [refusal, setRefusal] = useState("");
  const raise = (factor: number): void => {
    table.raise(factor).then(
      () => setRefusal(""),
      (error: Error) => setRefusal(error.message),
    );
  };
  return (
    <section>
      <h2>A table</h2>
      <p>
        Worth <output id="worth">{worth}</output>{" "}
        <button id="raise" onClick={() => raise(1.1)}>
          raise prices
        </button>{" "}
        <button id="spoil" onClick={() => raise(-1)}>
          raise by nonsense
        </button>{" "}
        <output id="refusal">{refusal}</output>
      </p>
      <table id="items">
        <tbody>{items?.map((item) => <Row key={item.id} item={item} />)}</tbody>
      </table>
    </section>
  );
}
