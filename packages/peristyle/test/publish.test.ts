/** A world that is stepped in Node and followed by clients, over real sockets on loopback. */
import { createServer, type Server } from "node:http";
import { connect as connectTcp, type AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { component, connect, type ConnectOptions, type Connection, type ViewWorld, type WebSocketConstructor } from "../src/client/index.js";
import { Scheduler, World } from "../src/index.js";
import { publishWorld, type Publication, type PublishWorldOptions } from "../src/server/index.js";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const SeenPosition = component("Position", { x: "f32", y: "f32" });
const SeenKind = component("Kind", { n: "u8" });

function setup() {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
  const Kind = world.defineComponent({ name: "Kind", fields: { n: "u8" } });
  const Name = world.defineComponent<string>({ name: "Name" });
  const entities = world.createEntities(3, new Map([[Position.id, (i: number) => ({ x: i, y: 0.5 })]]));
  world.addComponent(entities[1], Kind, { n: 7 });
  world.addComponent(entities[1], Name, "b");
  const scheduler = new Scheduler(world);
  closing.push(() => scheduler.close());
  return { world, Position, Kind, entities, scheduler };
}

async function serve(world: World, options: PublishWorldOptions = {}): Promise<{ publication: Publication; url: string }> {
  const publication = publishWorld(world, { port: 0, ...options });
  closing.push(() => publication.close());
  return { publication, url: `ws://127.0.0.1:${await publication.ready}/` };
}

const views = new WeakMap<Connection, ViewWorld>();

function follow(url: string, options: ConnectOptions = {}): Connection {
  const connection = connect(url, { WebSocket: WebSocket as unknown as WebSocketConstructor, delay: 5, ...options });
  closing.push(() => connection.close());
  connection.on("view", (view) => views.set(connection, view));
  return connection;
}

/** The view once it satisfies a condition. */
function seen(connection: Connection, condition: (view: ViewWorld) => boolean): Promise<ViewWorld> {
  return new Promise((resolve) => {
    const look = () => {
      const view = views.get(connection);
      if (view && condition(view)) resolve(view);
    };
    connection.on("view", look);
    connection.on("frame", look);
    look();
  });
}

const closed = (connection: Connection) =>
  new Promise<{ code: number; reason: string }>((resolve) =>
    connection.on("status", (status) => {
      if (status.status === "closed" || status.status === "waiting") resolve(status);
    }),
  );

/** What comes while something is done again and again. */
async function during<T>(coming: Promise<T>, act: () => unknown): Promise<T> {
  let isOver = false;
  void coming.finally(() => (isOver = true));
  while (!isOver) {
    await act();
    await new Promise(setImmediate);
  }
  return coming;
}

const xs = (view: ViewWorld) => Array.from(view.get(SeenPosition).x).sort();

describe("a published world", () => {
  test("is followed from its first frame, tick after tick", async () => {
    const { world, Position, entities, scheduler } = setup();
    scheduler.register({
      name: "move",
      writesComponents: [Position],
      run: ({ world: w, dt }) => {
        for (const [e, , p] of w.iter(w.makeQuery({ all: [Position] }), Position)) w.set(e, Position, { x: p.x + dt, y: p.y });
      },
    });
    const { url, publication } = await serve(world);
    const connection = follow(url);
    const first = await seen(connection, (view) => view.rows === 3);
    expect(xs(first)).toEqual([0, 1, 2]);
    expect(publication.clients).toBe(1);
    const moved = seen(connection, (view) => xs(view)[0] === 20);
    for (let i = 0; i < 10; i++) await scheduler.runFrame(2);
    expect(xs(await moved)).toEqual([20, 21, 22]);
    const fewer = seen(connection, (view) => view.row(entities[0]) < 0);
    world.destroyEntity(entities[0]);
    publication.publish();
    const left = await fewer;
    expect(entities.slice(1).map((e) => left.get(SeenPosition).x[left.row(e)])).toEqual([21, 22]);
  });

  test("shows each component, whole or rounded, and hides what is hidden", async () => {
    const { world, Position, Kind } = setup();
    const { url } = await serve(world, {
      components: [{ component: Position, quantised: { x: 0.25 }, hidden: ["y"] }, { component: Kind, optional: true }],
      hashEvery: 1,
    });
    const view = await seen(follow(url), ({ rows }) => rows === 3);
    const schema = view.schema.components.map(({ name, fields }) => [name, fields.map((field) => field.name)]);
    expect(schema).toEqual([["Position", ["x"]], ["Kind", ["n"]]]);
    expect(Array.from(view.get(SeenKind).n).filter((n) => n > 0)).toEqual([7]);
  });

  test("publishes every so many ticks", async () => {
    const { world, scheduler } = setup();
    let frames = 0;
    const { url } = await serve(world, { every: 3 });
    const connection = follow(url);
    await seen(connection, ({ rows }) => rows === 3);
    connection.on("frame", () => void frames++);
    const { Position } = { Position: world.components[0] };
    for (let i = 0; i < 9; i++) {
      world.createEntity({ [Position.id]: { x: 100 + i, y: 0 } });
      await scheduler.runFrame(1);
    }
    await seen(connection, ({ rows }) => rows === 12);
    expect(frames).toBe(3);
  });

  test("is followed on by who comes back, and by many at once", async () => {
    const { world, Position, entities } = setup();
    const { url, publication } = await serve(world);
    const sockets: WebSocket[] = [];
    const Socket = class extends WebSocket {
      constructor(address: string) {
        super(address);
        sockets.push(this);
      }
    };
    const one = follow(url, { WebSocket: Socket as unknown as WebSocketConstructor });
    const others = [follow(url), follow(url)];
    await Promise.all([one, ...others].map((connection) => seen(connection, ({ rows }) => rows === 3)));
    sockets[0].terminate();
    world.set(entities[0], Position, { x: 50, y: 0 });
    const back = [one, ...others].map((connection) => seen(connection, (view) => xs(view).includes(50)));
    publication.publish();
    await Promise.all(back);
    expect(sockets.length).toBe(2);
    expect(sockets[1].url).toMatch(/epoch=\d+&tick=1/);
  });

  test("is served by a server of one's own, at its path", async () => {
    const { world } = setup();
    const server: Server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => new Promise((resolve) => server.close(resolve)));
    const publication = publishWorld(world, { server, path: "/world" });
    closing.push(() => publication.close());
    expect(await publication.ready).toBeUndefined();
    const { port } = server.address() as AddressInfo;
    await seen(follow(`http://127.0.0.1:${port}/world?x=1`), ({ rows }) => rows === 3);
  });

  test("takes what clients do, in order, and answers with the frame that has it", async () => {
    const { world, Position, entities, scheduler } = setup();
    const taken: { client: number; number: number; by: number }[] = [];
    const waiting: number[] = [];
    scheduler.register({
      name: "push",
      writesComponents: [Position],
      run: ({ world: w }) => {
        for (const by of waiting.splice(0)) w.set(entities[0], Position, { x: by, y: 0 });
      },
    });
    const { url } = await serve(world, {
      onInput: (client, { number, bytes }) => {
        if (bytes.length !== 1) throw new RangeError("a push is one byte");
        taken.push({ client, number, by: bytes[0] });
        waiting.push(bytes[0]);
      },
    });
    const one = follow(url);
    await seen(one, ({ rows }) => rows === 3);
    const answered = new Promise<number>((resolve) =>
      one.on("answer", ({ input }) => {
        // The systems have run by it in the frame that says so.
        if (input === 2) resolve(views.get(one)!.get(SeenPosition).x[views.get(one)!.row(entities[0])]);
      }),
    );
    one.input(Uint8Array.of(40));
    one.input(Uint8Array.of(50));
    const other = follow(url);
    await seen(other, ({ rows }) => rows === 3);
    const step = () => scheduler.runFrame(1);
    expect(await during(answered, step)).toBe(50);
    expect(taken.map(({ number, by }) => [number, by])).toEqual([[1, 40], [2, 50]]);
    expect(taken[0].client).toBe(taken[1].client);
    const end = closed(other);
    other.input(Uint8Array.of(1, 2, 3));
    expect((await during(end, step)).code).toBe(4400);
    const again = new Promise<void>((resolve) => one.on("answer", ({ input }) => input === 3 && resolve()));
    one.input(Uint8Array.of(60));
    await during(again, step);
    expect(taken[2]).toEqual({ client: taken[0].client, number: 3, by: 60 });
  });

  test("is followed on by who says more than anybody asked for", async () => {
    const { world } = setup();
    const { publication, url } = await serve(world);
    const connection = follow(url);
    await seen(connection, ({ rows }) => rows === 3);
    const answered = new Promise<string>((resolve) => {
      connection.on("answer", ({ input }) => input === 1_000 && resolve("answered"));
      void closed(connection).then(({ code }) => resolve(`closed with ${code}`));
    });
    for (let i = 0; i < 1_000; i++) connection.input(Uint8Array.of(i & 255));
    expect(await during(answered, () => publication.publish())).toBe("answered");
  });

  test("ends for all who follow", async () => {
    const { world } = setup();
    const { url, publication } = await serve(world);
    const connection = follow(url);
    await seen(connection, ({ rows }) => rows === 3);
    const end = closed(connection);
    await publication.close();
    expect((await end).code).toBe(1001);
    world.beginTick();
    world.endTick();
  });

  test("leaves nothing in the world when it ends, and another may begin", async () => {
    const { world, Position, entities } = setup();
    const used: number[] = [];
    for (let i = 0; i < 20; i++) {
      const publication = publishWorld(world);
      for (let tick = 0; tick < 50; tick++) {
        world.set(entities[0], Position, { x: tick, y: i });
        world.beginTick();
        world.endTick();
      }
      await publication.close();
      await publication.close();
      // Once it has ended it is neither told nor asked.
      publication.publish();
      used.push(world.core.abi.memory_used());
    }
    expect(used.slice(2).every((bytes) => bytes === used[1])).toBe(true);
    const { url } = await serve(world);
    const view = await seen(follow(url), ({ rows }) => rows === 3);
    expect(view.get(SeenPosition).x[0]).toBe(49);
  });

  test("has something to publish", () => {
    const empty = new World();
    expect(() => publishWorld(empty)).toThrow(/no component with `fields`/);
    const { world, Position } = setup();
    expect(() => publishWorld(world, { every: 0 })).toThrow(/`every`/);
    expect(() => publishWorld(world, { components: [{ component: Position, hidden: ["z"] }] })).toThrow(/no field `z`/);
    expect(() => publishWorld(world, { components: [world.components[2]] })).toThrow(/has no `fields`/);
  });
});

describe("who may not follow", () => {
  async function status(url: string, headers: Record<string, string> = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { headers });
      socket.on("unexpected-response", (_, response) => resolve(response.statusCode ?? 0));
      socket.on("open", () => (socket.close(), resolve(101)));
      socket.on("error", reject);
    });
  }

  test("is refused before the upgrade", async () => {
    const { world } = setup();
    const { url } = await serve(world, { clientsMax: 1 });
    expect(await status(`${url}elsewhere`)).toBe(404);
    expect(await status(url, { origin: "https://evil.example" })).toBe(403);
    expect(await status(url, { origin: url.replace("ws:", "http:").slice(0, -1) })).toBe(101);
    const response = await fetch(url.replace("ws:", "http:"));
    expect(response.status).toBe(426);
    const first = follow(url);
    await seen(first, ({ rows }) => rows === 3);
    expect(await status(url)).toBe(503);
  });

  test("is asked for the token first", async () => {
    const { world } = setup();
    const { url } = await serve(world, { token: "open sesame" });
    expect(await closed(follow(url, { token: "wrong" }))).toMatchObject({ code: 4401 });
    await seen(follow(url, { token: "open sesame" }), ({ rows }) => rows === 3);
  });

  test("is cut off for what makes no sense, and the others go on", async () => {
    const { world } = setup();
    const { url, publication } = await serve(world);
    const good = follow(url);
    await seen(good, ({ rows }) => rows === 3);
    const end = async (say: (socket: WebSocket) => void) => {
      const socket = new WebSocket(url);
      await new Promise((resolve) => socket.once("open", resolve));
      say(socket);
      return new Promise<number>((resolve) => socket.once("close", resolve));
    };
    expect(await end((socket) => socket.send(Uint8Array.of(9, 9, 9)))).toBe(4400);
    expect(await end((socket) => socket.send(Uint8Array.of(1, 255, 255, 255)))).toBe(4400);
    expect(await end((socket) => socket.send(new Uint8Array(100_000)))).toBe(1009);
    expect(publication.clients).toBe(1);
    const more = seen(good, ({ rows }) => rows === 4);
    world.createEntity({ [world.components[0].id]: { x: 9, y: 9 } });
    publication.publish();
    await more;
  });

  test.each([
    ["a frame that is not masked", [0x82, 0x01, 0x00], 1002],
    ["reserved bits", [0xc2, 0x80, 0, 0, 0, 0], 1002],
    ["an opcode that is none", [0x83, 0x80, 0, 0, 0, 0], 1002],
    ["a continuation of nothing", [0x80, 0x80, 0, 0, 0, 0], 1002],
    ["a ping in parts", [0x09, 0x80, 0, 0, 0, 0], 1002],
    ["text that is no UTF-8", [0x81, 0x81, 0, 0, 0, 0, 0xff], 1007],
    ["a close with one byte", [0x88, 0x81, 0, 0, 0, 0, 0x03], 1002],
    ["a length beyond all bounds", [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009],
  ])("is closed for %s", async (_, bytes, code) => {
    const { world } = setup();
    const { url } = await serve(world);
    const { port } = new URL(url);
    const socket = connectTcp(Number(port), "127.0.0.1");
    const request =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write(Buffer.concat([Buffer.from(request), Buffer.from(bytes)]));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    await new Promise((resolve) => socket.once("close", resolve));
    const all = Buffer.concat(chunks);
    // The last frame says why.
    const at = all.lastIndexOf(Buffer.from([code >> 8, code & 255]));
    expect(all[at - 2]).toBe(0x88);
  });
});
