import { createApp } from "vue";
import { workerClientPlugin, worldPlugin } from "peristyle-vue";
import { start } from "../page.js";
import { App } from "./app.js";

start((root, client, world) => {
  const app = createApp(App).use(workerClientPlugin(client)).use(worldPlugin(world));
  app.mount(root);
  return () => app.unmount();
});
