/** A module's bundle as text: see `scripts/text-bundle.mjs`. */
declare module "*?bundle" {
  const source: string;
  export default source;
}
