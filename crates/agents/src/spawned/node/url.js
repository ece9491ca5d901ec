// node:url
(function (node) {
  "use strict";

  const { failure, badType } = node;
  const { resolve } = node.builtin("path");

  const hrefOf = (url) => {
    if (typeof url === "string") {
      if (!/^[A-Za-z][A-Za-z\d+.-]*:/.test(url)) throw failure(TypeError, "ERR_INVALID_URL", "Invalid URL", { input: url });
      return url;
    }
    if (typeof url === "object" && url !== null && typeof url.href === "string") return url.href;
    throw badType("path", "of type string or an instance of URL", url);
  };
  const fileURLToPath = (url) => {
    const href = hrefOf(url);
    if (!/^file:/i.test(href)) throw failure(TypeError, "ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
    const found = /^file:(?:\/\/([^/?#]*))?([^?#]*)/i.exec(href);
    if (found[1] && found[1] !== "localhost") {
      throw failure(TypeError, "ERR_INVALID_FILE_URL_HOST", `File URL host must be "localhost" or empty on ${node.seat.platform}`);
    }
    if (/%2f/i.test(found[2])) {
      throw failure(TypeError, "ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded / characters");
    }
    // The parser resolves what is relative in it.
    const path = decodeURIComponent(found[2]);
    const parts = [];
    for (const part of path.split("/").slice(1)) {
      if (part === "..") parts.pop();
      else if (part !== ".") parts.push(part);
    }
    return `/${parts.join("/")}`;
  };
  // Only what a URL's path cannot hold is escaped.
  const escape = (path) =>
    encodeURI(path).replace(/[?#]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`).replaceAll("%5B", "[").replaceAll("%5D", "]").replaceAll("%7C", "|").replaceAll("%5E", "^").replaceAll("\\", "%5C");
  const urlOf = (href) => {
    if (globalThis.URL) return new globalThis.URL(href);
    // Without the web's parser: what `file:` URLs are used for.
    const pathname = href.slice("file://".length);
    return {
      href, pathname, protocol: "file:", host: "", hostname: "", port: "", username: "", password: "", search: "", hash: "", origin: "null",
      toString: () => href,
      toJSON: () => href,
    };
  };
  const pathToFileURL = (path) => {
    node.mustBe("path", "string", path);
    let resolved = resolve(path);
    if (path.endsWith("/") && !resolved.endsWith("/")) resolved += "/";
    return urlOf(`file://${escape(resolved.replaceAll("%", "%25")).replaceAll("%2525", "%25")}`);
  };

  const exports = { fileURLToPath, pathToFileURL };
  for (const name of ["URL", "URLSearchParams"]) if (globalThis[name]) exports[name] = globalThis[name];
  return exports;
});
