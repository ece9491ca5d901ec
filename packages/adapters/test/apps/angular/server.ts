import "@angular/compiler";
import { provideZonelessChangeDetection } from "@angular/core";
import { bootstrapApplication, type BootstrapContext } from "@angular/platform-browser";
import { provideServerRendering, renderApplication } from "@angular/platform-server";
import { provideWorkerClient, provideWorld } from "peristyle-angular";
import { serve } from "../server.js";
import { App } from "./app.js";

const document = "<!doctype html><app-root></app-root>";

export default serve((client, world) => {
  const providers = [
    provideZonelessChangeDetection(),
    provideServerRendering(),
    provideWorkerClient(client),
    provideWorld(world),
  ];
  return renderApplication((context: BootstrapContext) => bootstrapApplication(App, { providers }, context), { document });
});
