/** @jsxImportSource solid-js */
import { renderToString } from "solid-js/web";
import { serve } from "../server.js";
import { App } from "./app.js";

export default serve(async (client, world) => renderToString(() => <App client={client} world={world} />));
