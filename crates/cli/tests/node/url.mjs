import { fileURLToPath, pathToFileURL } from "node:url";

for (const url of ["file:///a/b", "file:///a%20b/%C3%BC", "file://localhost/x", "file:///a/../b", new URL("file:///q?x#y")]) console.log(fileURLToPath(url));
for (const path of ["/a b", "/ü#?%", "/x/", "/a/../b", "/a\\b"]) console.log(pathToFileURL(path).href);
console.log(pathToFileURL("x").href === pathToFileURL(process.cwd()).href + "/x");
for (const bad of ["http://x/y", "/a", "file://host/x", "file:///a%2fb", 5]) {
  try {
    console.log(fileURLToPath(bad));
  } catch (error) {
    console.log(error.name, error.code);
  }
}
