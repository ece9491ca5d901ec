/** @jsxImportSource solid-js */
import { render } from "solid-js/web";
import { start } from "../page.js";
import { App } from "./app.js";

start((root, client, world) => render(() => <App client={client} world={world} />, root));
