/** What clients do to a served world that no client of ours would: it goes on, and so do the others. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectTcp, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { World } from "../src/index.js";
import { publishWorld, type Publication, type PublishWorldOptions } from "../src/server/index.js";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Served {
  readonly world: World;
  readonly publication: Publication;
  readonly port: number;
  readonly url: string;
}

async function serve(options: PublishWorldOptions = {}): Promise<Served> {
  const world = new World();
  const Position = world.defineComponent({ name: "Position", fields: { x: "f32" } });
  world.createEntities(3, new Map([[Position.id, (i: number) => ({ x: i })]]));
  const publication = publishWorld(world, { port: 0, ...options });
  closing.push(() => publication.close());
  const port = (await publication.ready)!;
  return { world, publication, port, url: `ws://127.0.0.1:${port}/` };
}

const UPGRADE =
  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/** A frame as a client sends it, with a mask that changes nothing. */
function masked(first: number, body: string | Uint8Array = ""): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([Buffer.from([first, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}

function tcp(port: number, ...say: (string | Uint8Array)[]): Socket {
  // Its side stays open until the test ends it.
  const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
  closing.push(() => socket.destroy());
  socket.on("error", () => {});
  socket.write(Buffer.concat(say.map((part) => Buffer.from(part as string))));
  return socket;
}

/** What comes, until it satisfies a condition. */
async function heard(socket: Socket, condition: (all: Buffer) => boolean): Promise<Buffer> {
  let all = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    all = Buffer.concat([all, chunk as Buffer]);
    if (condition(all)) return all;
  }
  throw new Error(`it ended after ${all.toString("latin1")}`);
}

/** How a connection that is made now ends. */
async function ending(url: string): Promise<number> {
  const [code] = await once(new WebSocket(url), "close");
  return code as number;
}

/** The first message to who follows now. */
async function ready(url: string): Promise<unknown> {
  const socket = new WebSocket(url);
  closing.push(() => socket.terminate());
  const [data] = await once(socket, "message");
  return JSON.parse(String(data));
}

const says = (text: string) => (all: Buffer) => all.includes(text);

describe("a client that speaks too early", () => {
  test("is heard: what came with its upgrade counts", async () => {
    const { port } = await serve({ token: "open sesame" });
    const token = masked(0x81, JSON.stringify({ token: "open sesame" }));
    await heard(tcp(port, UPGRADE, token), says(`"type":"ready"`));
  });

  test("is cut off for nonsense, and the world is served on", async () => {
    const { port, url } = await serve();
    await heard(tcp(port, UPGRADE, masked(0x82, Uint8Array.of(9, 9))), says("no such topic"));
    expect(await ready(url)).toMatchObject({ type: "ready" });
  });
});

test("who cannot be let in is told so, and the world is served on", async () => {
  const { world, url } = await serve();
  const { abi } = world.core;
  const { mirror_open } = abi;
  abi.mirror_open = () => {
    throw new Error("out of memory");
  };
  expect(await ending(url)).toBe(1011);
  abi.mirror_open = mirror_open;
  expect(await ready(url)).toMatchObject({ type: "ready" });
});

describe("a client that is gone without a word", () => {
  test("leaves its place to others, and who answers pings keeps it", async () => {
    const { port, url } = await serve({ clientsMax: 2, pingEvery: 1000 });
    const good = new WebSocket(url);
    closing.push(() => good.terminate());
    await once(good, "open");
    const gone = tcp(port, UPGRADE);
    // It takes what comes, and answers nothing: as if it were not there.
    gone.resume();
    await once(gone, "end");
    expect(await ready(url)).toMatchObject({ type: "ready" });
    expect(good.readyState).toBe(WebSocket.OPEN);
  });

  test("keeps nobody from closing the server, refused or not", async () => {
    const { publication, port } = await serve();
    const silent = tcp(port);
    const refused = tcp(port, UPGRADE.replace("GET /", "GET /elsewhere"));
    await Promise.all([once(silent, "connect"), heard(refused, says("there is nothing here"))]);
    await publication.close();
  });
});

test("milliseconds between pings are some", async () => {
  await expect(serve({ pingEvery: 0 })).rejects.toThrow(/`pingEvery`/);
});

describe("a page whose name was made to point to this machine", () => {
  /** The status that a page's upgrade is answered with. */
  async function asked(port: number, host: string, path = "/"): Promise<number> {
    const request = UPGRADE.replace("Host: x", `Host: ${host}:${port}\r\nOrigin: http://${host}:${port}`).replace("/", path);
    const answer = await heard(tcp(port, request), says("\r\n\r\n"));
    return Number(/^HTTP\/1.1 (\d+)/.exec(answer.toString("latin1"))?.[1]);
  }

  test("may not follow what listens on loopback, and pages of this machine may", async () => {
    const { port } = await serve();
    expect(await asked(port, "rebound.example")).toBe(403);
    expect(await asked(port, "127.0.0.1.rebound.example")).toBe(403);
    for (const host of ["localhost", "127.0.0.1", "[::1]"]) expect(await asked(port, host)).toBe(101);
  });

  test("may not follow by a server of one's own either", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { world } = await serve();
    const publication = publishWorld(world, { server, path: "/world" });
    closing.push(() => publication.close());
    // One that it does not know the server of.
    const handed = publishWorld(world, { path: "/handed" });
    closing.push(() => handed.close());
    server.on("upgrade", (request, socket, head) => {
      if (request.url === "/handed") handed.handleUpgrade(request, socket, head);
    });
    for (const path of ["/world", "/handed"]) {
      expect(await asked(port, "rebound.example", path)).toBe(403);
      expect(await asked(port, "localhost", path)).toBe(101);
    }
  });

  test("may follow where it is named, or where others are served as well", async () => {
    const { port } = await serve({ host: "0.0.0.0" });
    expect(await asked(port, "world.example")).toBe(101);
    const origin = "http://world.example";
    const named = await serve({ allowedOrigins: [origin] });
    const request = UPGRADE.replace("Host: x", `Host: world.example\r\nOrigin: ${origin}`);
    await heard(tcp(named.port, request), says("101 Switching"));
  });
});
