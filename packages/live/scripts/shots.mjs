/** Makes the pictures of the README: the page at the peak, light and dark. */
import { fileURLToPath } from "node:url";
import { browser, serve } from "./server.mjs";

const server = await serve({ args: ["--start", "13:40", "--speed", "60"] });
const chromium = await browser();
try {
  for (const colorScheme of ["dark", "light"]) {
    const page = await chromium.newPage({ viewport: { width: 1440, height: 860 }, colorScheme });
    await page.goto(server.url.href);
    await page.waitForSelector("#systems tr");
    await page.waitForFunction(() => document.getElementById("trip").textContent !== "–");
    await page.screenshot({ path: fileURLToPath(new URL(`../../../docs/live-${colorScheme}.png`, import.meta.url)) });
    await page.close();
  }
} finally {
  await chromium.close();
  await server.stop();
}
