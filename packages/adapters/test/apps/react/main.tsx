import { createRoot } from "react-dom/client";
import { start } from "../page.js";
import { App } from "./app.js";

start((root, client, world) => {
  const shown = createRoot(root);
  shown.render(<App client={client} world={world} />);
  return () => shown.unmount();
});
