/** Errors of jobs, as they cross between threads and as they are told. */
import { JobError, type JobErrorCode } from "../errors.js";

/** An error as it crosses: what was thrown, in words. */
export interface Failure {
  readonly code: JobErrorCode;
  readonly message: string;
  /** What was thrown, if the job threw. The stack is that of the thread, source-mapped if its environment does so. */
  readonly thrown?: { readonly name: string; readonly message: string; readonly stack: string };
}

/** What was thrown, in words. Never throws. */
export function describeThrown(thrown: unknown): { name: string; message: string; stack: string } {
  try {
    if (thrown instanceof Error || (typeof thrown === "object" && thrown !== null && "message" in thrown)) {
      const { name, message, stack } = thrown as Error;
      return { name: String(name ?? "Error"), message: String(message), stack: String(stack ?? "") };
    }
    return { name: typeof thrown, message: String(thrown), stack: "" };
  } catch {
    return { name: "Error", message: "something that cannot be shown", stack: "" };
  }
}

/** A failure of a job that threw. */
export function threw(job: string, thrown: unknown): Failure {
  // Errors of ours keep their code.
  if (thrown instanceof JobError) return { code: thrown.code, message: thrown.message };
  const what = describeThrown(thrown);
  return { code: "job-threw", message: `job \`${job}\` threw ${what.name}: ${what.message}`, thrown: what };
}

/** A failure of a call whose answer cannot be cloned. */
export function unclonableAnswer(job: string, error: unknown): Failure {
  return {
    code: "job-unclonable",
    message: `what \`${job}\` returned cannot be sent: ${describeThrown(error).message}`,
  };
}

/** The error that a failure stands for. Its cause has the name, message and stack of what was thrown. */
export function toError({ code, message, thrown }: Failure): JobError {
  if (!thrown) return new JobError(code, message);
  const cause = new Error(thrown.message);
  Object.defineProperty(cause, "name", { value: thrown.name, configurable: true, writable: true });
  cause.stack = thrown.stack === "" ? `${thrown.name}: ${thrown.message}` : thrown.stack;
  return new JobError(code, message, { cause });
}

/** The failure that an error stands for. */
export function toFailure(error: unknown): Failure {
  if (!(error instanceof JobError)) return threw("?", error);
  const { code, message, cause } = error;
  return cause === undefined ? { code, message } : { code, message, thrown: describeThrown(cause) };
}
