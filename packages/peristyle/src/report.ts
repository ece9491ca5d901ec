/** Functions of the user that are told something: what they throw is the user's, and must not break off what tells them. */

/** Calls one. What it throws is reported as what nobody caught is, and whoever told it goes on. */
export function calledBack(tell: () => void): void {
  try {
    tell();
  } catch (error) {
    report(error);
  }
}

/** `reportError`, where there is one. */
function report(error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  if (reportError) return reportError(error);
  // A task of its own that throws: Node's `uncaughtException`.
  setTimeout(() => {
    throw error;
  });
}
