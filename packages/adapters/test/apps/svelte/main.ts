import { mount, unmount } from "svelte";
import { start } from "../page.js";
import App from "./App.svelte";

start((target, client, world) => {
  const app = mount(App, { target, props: { client, world } });
  return () => void unmount(app);
});
