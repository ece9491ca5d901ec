/**
 * Finds links that lead nowhere in the built site: `node docs/site/links.mjs FOLDER`.
 *
 * Only links within the site are followed, so that nothing depends on a network. Those on rustdoc's pages are not: rustdoc
 * follows its own, and what it copies from the documentation of other crates leads into pages that are not made here.
 */
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const folder = resolve(process.argv[2]);
const pages = readdirSync(folder, { recursive: true })
  .filter((name) => name.endsWith(".html") && !name.startsWith(join("api", "rust")))
  .map((name) => join(folder, name));
const places = new Map();
const dead = new Set();
let count = 0;

for (const page of pages) {
  for (const link of links(readFileSync(page, "utf8"))) {
    count++;
    if (!leads(page, link)) dead.add(`${relative(folder, page)}: ${link} leads nowhere`);
  }
}
for (const line of dead) console.error(line);
console.log(`${pages.length} pages, ${count} links, ${dead.size} dead`);
process.exitCode = dead.size === 0 && count > 0 ? 0 : 1;

/** What a page refers to within the site. */
function links(html) {
  const found = html.matchAll(/<(?:a|link|script|img)\s[^>]*?(?:href|src)="([^"]*)"/g);
  return [...found].map(([, link]) => link.replaceAll("&amp;", "&")).filter((link) => !/^([a-z]+:|\/\/)/i.test(link));
}

function leads(page, link) {
  const [, path, place] = link.match(/^([^?#]*)[^#]*#?(.*)$/);
  let file = path === "" ? page : resolve(path.startsWith("/") ? folder : dirname(page), decodeURIComponent(path).replace(/^\//, ""));
  if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
  if (!existsSync(file)) return false;
  if (place === "" || !file.endsWith(".html")) return true;
  return placesOf(file).has(place) || placesOf(file).has(decodeURIComponent(place));
}

/** The ids of a page. */
function placesOf(file) {
  if (!places.has(file)) {
    const found = readFileSync(file, "utf8").matchAll(/\s(?:id|name)="([^"]*)"/g);
    places.set(file, new Set([...found].map(([, id]) => id.replaceAll("&amp;", "&").replaceAll("&lt;", "<").replaceAll("&gt;", ">"))));
  }
  return places.get(file);
}
