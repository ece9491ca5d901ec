import "@angular/compiler";
import { provideZonelessChangeDetection, type ApplicationRef } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { provideWorkerClient, provideWorld } from "peristyle-angular";
import { start } from "../page.js";
import { App } from "./app.js";

start((root, client, world) => {
  root.append(document.createElement("app-root"));
  const providers = [provideZonelessChangeDetection(), provideWorkerClient(client), provideWorld(world)];
  let app: ApplicationRef | undefined;
  void bootstrapApplication(App, { providers }).then((started) => (app = started));
  return () => app?.destroy();
});
