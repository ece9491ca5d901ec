/**
 * What the compiler knows. These are checked by `npm run check`; what runs here only shows that it is so at run time
 * too.
 */
import { expectTypeOf, test } from "vitest";
import {
  component,
  createMemoryWorkerTransportPair,
  createWorkerClient,
  type Columns,
  type Connection,
  type RemoteModule,
  type Values,
  type ViewWorld,
  type WorkerClient,
} from "../src/client/index.js";

interface State {
  readonly clock: { readonly time: number };
}

class Clock {
  readonly time = 0;
  pause(): void {}
  async speed(factor: number, smooth?: boolean): Promise<number> {
    return smooth ? factor : 1;
  }
  then(): void {}
}

const Position = component("Position", { latitude: "f32", id: "u64", seen: "bool" });

test("modules have the methods of their class, all asynchronous", () => {
  type Remote = RemoteModule<Clock>;
  expectTypeOf<Remote["pause"]>().toEqualTypeOf<() => Promise<void>>();
  expectTypeOf<Remote["speed"]>().toEqualTypeOf<(factor: number, smooth?: boolean) => Promise<number>>();
  expectTypeOf<keyof Remote>().toEqualTypeOf<"pause" | "speed">();
});

test("state has its shape everywhere", () => {
  const { client: transport, host } = createMemoryWorkerTransportPair();
  const client = createWorkerClient<State>({ transport });
  host.post({ type: "state", sync: "snapshot", version: 0, state: { clock: { time: 3 } } });
  expectTypeOf(client).toEqualTypeOf<WorkerClient<State>>();
  expectTypeOf(client.select((state) => state.clock.time)).toEqualTypeOf<number>();
  client.watch(
    (state) => state.clock.time,
    (time, before) => expectTypeOf([time, before]).toEqualTypeOf<number[]>(),
  );
  expectTypeOf(client.call<string>("clock", "name")).toEqualTypeOf<Promise<string>>();
  expectTypeOf<Connection<State>["client"]>().toEqualTypeOf<WorkerClient<State>>();
  // @ts-expect-error there is no such module in the state.
  client.select((state) => state.weather as unknown);
  // @ts-expect-error a transport is needed.
  const wrong = (): unknown => createWorkerClient({});
  // @ts-expect-error extensions are switches by name.
  const other = (): unknown => createWorkerClient({ transport, extensions: { retry: true } });
  void [wrong, other];
});

test("columns have the array of their scalar", () => {
  type F = (typeof Position)["fields"];
  expectTypeOf<Columns<F>>().toEqualTypeOf<{
    readonly latitude: Float32Array;
    readonly id: BigUint64Array;
    readonly seen: Uint8Array;
  }>();
  expectTypeOf<Values<F>>().toEqualTypeOf<{ latitude: number; id: bigint; seen: boolean }>();
  const latitude = (view: ViewWorld): Float32Array => view.get(Position).latitude;
  expectTypeOf(latitude).returns.toEqualTypeOf<Float32Array>();
  // @ts-expect-error the component has no such field.
  const wrong = (view: ViewWorld): unknown => view.get(Position).altitude;
  // @ts-expect-error there is no such scalar.
  const other = (): unknown => component("X", { x: "f16" });
  void [wrong, other];
});
