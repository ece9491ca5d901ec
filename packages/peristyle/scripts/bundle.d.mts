/** The core's builds. */
export const cores: readonly { readonly name: string; readonly source: string }[];
/** Bundles an entry point to one minified ES module. */
export function bundle(source: string): Promise<Uint8Array>;
/** Writes all entry points to a folder. */
export function bundleAll(outdir: string): Promise<void>;
