/**
 * The replica of one connection: a view-world kept by what arrives, requests, and where to go on after a break.
 *
 * # Rules
 * - The view-world stays the same object while the schema does, over breaks and restarts of the host.
 * - A stream that does not fit is left: a new connection starts from a snapshot.
 * - Only the view of everything is gone on with after a break: of a part, the host keeps no log for who is away.
 */
import { FrameError } from "../replica/error.js";
import {
  decodeAnswer,
  encodeAcknowledge,
  encodeInput,
  encodeInterest,
  type Answer,
  type Interest,
} from "../replica/request.js";
import { KIND_ANSWER, KIND_SCHEMA, decodeSchema } from "../replica/schema.js";
import { ViewWorld, type Applied, type ViewWorldOptions } from "../replica/view-world.js";
import { Emitter } from "./emitter.js";

/** The byte that binary messages of a replica start with. */
export const TOPIC_RENDER = 1;

/** What a replica tells of. */
export type ReplicaEvents = {
  /** There is a view-world, or another one because the schema changed. */
  view: ViewWorld;
  /** A frame was taken in. */
  frame: Applied;
  /** The host took in inputs of this client: told by an answer, or by a frame. */
  answer: Answer;
  /** What arrived does not fit. */
  error: FrameError;
};

/** A replica of one connection. */
export class ReplicaStream extends Emitter<ReplicaEvents> {
  view: ViewWorld | undefined;
  /** Tells this run of the host from others. */
  epoch: number | undefined;
  readonly #send: (message: Uint8Array<ArrayBuffer>) => void;
  readonly #options: ViewWorldOptions | undefined;
  #interest: Interest | undefined;
  /** What is shown is or may be a part. */
  #isPart = false;
  /** What is shown is not of this stream: a snapshot must come first. */
  #isLost = false;
  #lastInput = 0;

  /** @param send sends a binary message; throws if that cannot be. */
  constructor(send: (message: Uint8Array<ArrayBuffer>) => void, options?: ViewWorldOptions) {
    super();
    this.#send = send;
    this.#options = options;
  }

  /** Begins a new connection: gives where it can go on, `undefined` if it must start anew. */
  start(): { readonly epoch: number; readonly tick: number } | undefined {
    const tick = this.view?.tick;
    this.#isLost ||= this.epoch === undefined || tick === undefined || this.#isPart;
    return this.#isLost ? undefined : { epoch: this.epoch as number, tick: tick as number };
  }

  /** Says again what it wants to see: call it when the connection is open. */
  opened(): void {
    this.#isPart = this.#interest !== undefined;
    if (this.#interest) this.#request(encodeInterest(this.#interest));
  }

  /** Takes in a binary message, topic included. Gives the error if the stream is lost: a new connection is needed. */
  receive(message: Uint8Array): FrameError | undefined {
    try {
      this.#take(message.subarray(1));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#isLost = true;
      this.emit("error", error);
      return error;
    }
    return undefined;
  }

  #take(bytes: Uint8Array): void {
    if (bytes[2] === KIND_SCHEMA) return this.#open(bytes);
    if (bytes[2] === KIND_ANSWER) return this.emit("answer", decodeAnswer(bytes));
    if (this.view === undefined) throw new FrameError("no-schema", "a frame came before the schema");
    const applied = this.view.apply(bytes);
    if (applied.snapshot) this.#isLost = false;
    this.emit("frame", applied);
    if (applied.input !== undefined) this.emit("answer", { tick: applied.tick, input: applied.input });
  }

  #open(bytes: Uint8Array): void {
    const schema = decodeSchema(bytes);
    this.#isLost = true;
    if (this.view?.schema.hash === schema.hash) return;
    this.view = new ViewWorld(schema, this.#options);
    this.emit("view", this.view);
  }

  /**
   * Asks to see a part of the world; everything if `undefined`. It is kept over breaks.
   * @throws {RangeError} for bounds that cannot be; {@link Error} if there is no connection: it is asked for when there
   * is.
   */
  interest(interest: Interest | undefined): void {
    const request = encodeInterest(interest);
    this.#interest = interest;
    this.#isPart = true;
    this.#request(request);
  }

  /**
   * Tells the host what this client did, and gives the number under which it will be answered.
   * @throws {Error} if there is no connection.
   */
  input(bytes: Uint8Array): number {
    this.#request(encodeInput(this.#lastInput + 1, bytes));
    return ++this.#lastInput;
  }

  /**
   * Says that the frame of a tick was taken in and can be built on: for transports that lose frames.
   * @throws {Error} if there is no connection.
   */
  acknowledge(tick: number): void {
    this.#request(encodeAcknowledge(tick));
  }

  #request(request: Uint8Array): void {
    const message = new Uint8Array(request.length + 1);
    message[0] = TOPIC_RENDER;
    message.set(request, 1);
    this.#send(message);
  }
}
