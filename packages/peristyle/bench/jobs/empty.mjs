/** Does nothing. */
export function handle() {}
