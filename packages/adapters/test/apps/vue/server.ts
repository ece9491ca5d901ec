import { createSSRApp } from "vue";
import { renderToString } from "vue/server-renderer";
import { workerClientPlugin, worldPlugin } from "peristyle-vue";
import { serve } from "../server.js";
import { App } from "./app.js";

export default serve((client, world) =>
  renderToString(createSSRApp(App).use(workerClientPlugin(client)).use(worldPlugin(world))),
);
