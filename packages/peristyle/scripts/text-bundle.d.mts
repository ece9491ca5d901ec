import type { Plugin as EsbuildPlugin } from "esbuild";
import type { Plugin as VitePlugin } from "vite";

export const textBundle: EsbuildPlugin;
export const viteTextBundle: VitePlugin;
