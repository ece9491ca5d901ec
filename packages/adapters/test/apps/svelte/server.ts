import { render } from "svelte/server";
import { serve } from "../server.js";
import App from "./App.svelte";

export default serve(async (client, world) => render(App, { props: { client, world } }).body);
