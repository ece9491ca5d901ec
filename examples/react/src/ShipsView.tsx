import { coreInfo } from "peristyle";
import { memo, useState, type ReactElement } from "react";
import { useQuery } from "peristyle-react";
import { Flagship, Position, toggle, world } from "./world";

const Ship = memo(function Ship(props: { number: number; x: number; y: number }): ReactElement {
  return (
    <text x={props.x} y={props.y} fontSize="0.12" textAnchor="middle">
      {props.number}
    </text>
  );
});

export function ShipsView(): ReactElement {
  const ships = useQuery({ all: [Position, Flagship] });
  const [isRunning, setRunning] = useState(true);
  return (
    <section>
      <h2>A world</h2>
      <p>
        {world.size} ships are stepped in this page, on <output id="core">{coreInfo().build}</output> memory; {ships?.length} of
        them are flagships.{" "}
        <button id="pause" onClick={() => setRunning(toggle())}>
          {isRunning ? "pause" : "go on"}
        </button>
      </p>
      <svg id="ships" viewBox="-1.1 -1.1 2.2 2.2" width="320" fill="currentColor">
        {ships?.map(([entity, { x, y }, { number }]) => <Ship key={entity} number={number} x={x} y={y} />)}
      </svg>
    </section>
  );
}
