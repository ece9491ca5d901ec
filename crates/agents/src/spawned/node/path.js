// node:path, for both kinds of paths.
(function (node) {
  "use strict";

  const { mustBe } = node;

  // Parts without `.`, `..` and empty ones. A relative path keeps the `..` at its start.
  const reduce = (parts, isAbsolute) => {
    const kept = [];
    for (const part of parts) {
      if (part === "" || part === ".") continue;
      if (part !== "..") kept.push(part);
      else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
      else if (!isAbsolute) kept.push("..");
    }
    return kept;
  };

  const make = (isWindows) => {
    const sep = isWindows ? "\\" : "/";
    const separators = isWindows ? /[\\/]+/ : /\/+/;
    const isSeparator = (character) => character === "/" || (isWindows && character === "\\");
    // [device, root, rest]: `C:`, `\`, `x\y`.
    const split = (path) => {
      if (!isWindows) return path.startsWith("/") ? ["", "/", path.replace(/^\/+/, "")] : ["", "", path];
      const share = /^[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)/.exec(path);
      const drive = /^[A-Za-z]:/.exec(path);
      const device = share ? `\\\\${share[1]}\\${share[2]}` : drive ? drive[0] : "";
      const rest = path.slice(share ? share[0].length : device.length);
      const rooted = share !== null || isSeparator(rest[0] ?? "");
      return [device, rooted ? "\\" : "", rest.replace(/^[\\/]+/, "")];
    };

    const isAbsolute = (path) => {
      mustBe("path", "string", path);
      return split(path)[1] !== "";
    };
    const normalize = (path) => {
      mustBe("path", "string", path);
      if (path === "") return ".";
      const [device, root, rest] = split(path);
      let text = reduce(rest.split(separators), root !== "").join(sep);
      if (text === "" && root === "") text = ".";
      if (isSeparator(path.at(-1)) && text !== "" && rest !== "") text += sep;
      return device + root + text;
    };
    const join = (...paths) => {
      for (const path of paths) mustBe("path", "string", path);
      const all = paths.filter((path) => path !== "");
      if (all.length === 0) return ".";
      let joined = all.join(sep);
      // Two separators at the start would be a share, which nobody asked for.
      if (isWindows && !/^[\\/]{2}[^\\/]/.test(all[0])) joined = joined.replace(/^[\\/]{2,}/, "\\");
      return normalize(joined);
    };
    const resolve = (...paths) => {
      let device = "";
      let root = "";
      let rest = "";
      const cwd = isWindows === (node.seat.platform === "win32") ? node.seat.cwd : isWindows ? "C:\\" : "/";
      for (const path of [cwd, ...paths].reverse()) {
        mustBe("path", "string", path);
        if (path === "") continue;
        const [ownDevice, ownRoot, ownRest] = split(path);
        if (ownDevice !== "" && device !== "" && ownDevice.toLowerCase() !== device.toLowerCase()) continue;
        device ||= ownDevice;
        if (root !== "") {
          if (device !== "") break;
          continue;
        }
        rest = `${ownRest}${sep}${rest}`;
        root = ownRoot;
        if (root !== "" && (!isWindows || device !== "")) break;
      }
      const text = reduce(rest.split(separators), root !== "").join(sep);
      return device + root + text || ".";
    };
    const basename = (path, suffix) => {
      mustBe("path", "string", path);
      if (suffix !== undefined) mustBe("suffix", "string", suffix);
      const name = split(path)[2].split(separators).filter((part) => part !== "").at(-1) ?? "";
      return suffix && (name !== suffix || path === suffix) && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    };
    const dirname = (path) => {
      mustBe("path", "string", path);
      const [device, root, rest] = split(path);
      // The root as it was written; of many separators one is enough.
      const head = root === "" ? device : path.slice(0, device.length + 1);
      let end = rest.length;
      while (end > 0 && isSeparator(rest[end - 1])) end--;
      while (end > 0 && !isSeparator(rest[end - 1])) end--;
      if (end > 0) end--;
      const written = path.slice(0, path.length - rest.length);
      if (end === 0) return head === "" ? "." : !isWindows && written.length === 2 && rest !== "" ? "//" : head;
      return written + rest.slice(0, end);
    };
    const extname = (path) => {
      const name = basename(path);
      const at = name.lastIndexOf(".");
      return at <= 0 || name === ".." ? "" : name.slice(at);
    };
    const parse = (path) => {
      mustBe("path", "string", path);
      const [device, root] = split(path);
      const base = basename(path);
      const ext = extname(path);
      const head = root === "" ? device : path.slice(0, device.length + 1);
      let dir = dirname(path);
      if (dir === "." && !/^\.[\\/]/.test(path)) dir = "";
      if (base === "") dir = head;
      return { root: head, dir, base, ext, name: ext === "" ? base : base.slice(0, -ext.length) };
    };
    const format = (parts) => {
      if (typeof parts !== "object" || parts === null) throw node.badType("pathObject", "of type object", parts);
      const dir = parts.dir || parts.root;
      const ext = parts.ext ? (parts.ext[0] === "." ? parts.ext : `.${parts.ext}`) : "";
      const base = parts.base || `${parts.name || ""}${ext}`;
      if (!dir) return base;
      return dir === parts.root ? `${dir}${base}` : `${dir}${sep}${base}`;
    };
    const relative = (from, to) => {
      mustBe("from", "string", from);
      mustBe("to", "string", to);
      const [one, other] = [resolve(from), resolve(to)].map((path) => split(path));
      const fold = (text) => (isWindows ? text.toLowerCase() : text);
      if (fold(one[0]) !== fold(other[0])) return resolve(to);
      const [ups, downs] = [one[2], other[2]].map((rest) => rest.split(separators).filter((part) => part !== ""));
      let same = 0;
      while (same < ups.length && same < downs.length && fold(ups[same]) === fold(downs[same])) same++;
      return [...ups.slice(same).map(() => ".."), ...downs.slice(same)].join(sep);
    };
    const toNamespacedPath = (path) => path;
    return {
      resolve, normalize, isAbsolute, join, relative, toNamespacedPath, dirname, basename, extname, format, parse, sep,
      delimiter: isWindows ? ";" : ":",
    };
  };

  const posix = make(false);
  const win32 = make(true);
  for (const path of [posix, win32]) Object.assign(path, { win32, posix });
  return node.seat.platform === "win32" ? win32 : posix;
});
