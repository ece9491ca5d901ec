import { defineConfig } from "vite";
import peristyle from "peristyle/vite";

export default defineConfig({ plugins: [peristyle()] });
