// node:fs, as far as it reads. What writes is not there.
(function (node) {
  "use strict";

  const { host, badType, failure } = node;

  const pathOf = (path) => {
    if (typeof path === "string") {
      if (path.includes("\0")) {
        const message = "The argument 'path' must be a string, Uint8Array, or URL without null bytes.";
        throw failure(TypeError, "ERR_INVALID_ARG_VALUE", `${message} Received ${node.builtin("util").inspect(path)}`);
      }
      return path;
    }
    if (typeof path === "object" && path !== null && typeof path.href === "string") return node.builtin("url").fileURLToPath(path);
    if (path instanceof Uint8Array) return node.builtin("buffer").Buffer.from(path).toString();
    throw badType("path", "of type string or an instance of Buffer or URL", path);
  };
  const encodingOf = (options) => (typeof options === "string" ? options : options?.encoding ?? null);

  class Stats {
    constructor(found) {
      const { kind, ...numbers } = found;
      Object.defineProperty(this, "kind", { value: kind });
      const { dev, mode, nlink, uid, gid, blksize, ino, size, blocks, atimeMs, mtimeMs, ctimeMs, birthtimeMs } = numbers;
      Object.assign(this, { dev, mode, nlink, uid, gid, rdev: 0, blksize, ino, size, blocks, atimeMs, mtimeMs, ctimeMs, birthtimeMs });
      for (const name of ["atime", "mtime", "ctime", "birthtime"]) this[name] = new Date(this[`${name}Ms`]);
    }
    isFile() {
      return this.kind === "file";
    }
    isDirectory() {
      return this.kind === "directory";
    }
    isSymbolicLink() {
      return this.kind === "link";
    }
    isFIFO() {
      return false;
    }
    isSocket() {
      return false;
    }
    isBlockDevice() {
      return false;
    }
    isCharacterDevice() {
      return false;
    }
  }
  class Dirent {
    constructor(name, path, kind) {
      this.name = name;
      this.parentPath = path;
      this.path = path;
      Object.defineProperty(this, "kind", { value: kind });
    }
  }
  for (const name of ["isFile", "isDirectory", "isSymbolicLink"]) Dirent.prototype[name] = Stats.prototype[name];

  const readFileSync = (path, options) => {
    const encoding = encodingOf(options);
    const { Buffer } = node.builtin("buffer");
    const bytes = Buffer.view(host("read", pathOf(path)));
    return encoding === null || encoding === "buffer" ? bytes : bytes.toString(encoding);
  };
  const orAbsent = (options, look) => {
    if (options?.throwIfNoEntry !== false) return look();
    try {
      return look();
    } catch (error) {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
      throw error;
    }
  };
  const statSync = (path, options) => orAbsent(options, () => new Stats(host("stat", pathOf(path))));
  const lstatSync = (path, options) => orAbsent(options, () => new Stats(host("lstat", pathOf(path))));
  const existsSync = (path) => {
    try {
      host("stat", pathOf(path));
      return true;
    } catch {
      return false;
    }
  };
  const readdirSync = (path, options) => {
    const { join } = node.builtin("path");
    const top = pathOf(path);
    const found = [];
    const visit = (directory, prefix) => {
      for (const [name, kind] of host("list", directory)) {
        found.push(options?.withFileTypes ? new Dirent(name, directory, kind) : prefix + name);
        if (options?.recursive && kind === "directory") visit(join(directory, name), `${prefix}${name}/`);
      }
    };
    visit(top, "");
    return found;
  };
  const realpathSync = (path) => host("realpath", pathOf(path));
  const accessSync = (path, mode = 0) => {
    const at = pathOf(path);
    const found = host("access", at);
    if (mode & 2) throw failure(Error, "EROFS", `EROFS: read-only file system, access '${at}'`, { syscall: "access", path: at });
    if (mode & 1 && found.kind !== "directory" && !(found.mode & 0o111)) {
      throw failure(Error, "EACCES", `EACCES: permission denied, access '${at}'`, { syscall: "access", path: at });
    }
  };

  // Callbacks come later, as Node's do.
  const later = (operation) => (...args) => {
    const callback = args.pop();
    if (typeof callback !== "function") throw badType("cb", "of type function", callback);
    let result;
    try {
      result = [null, operation(...args)];
    } catch (error) {
      result = [error];
    }
    node.timers.setImmediate(() => callback(...result));
  };
  const sync = { readFile: readFileSync, stat: statSync, lstat: lstatSync, readdir: readdirSync, realpath: realpathSync, access: accessSync };
  const exports = {
    readFileSync, statSync, lstatSync, existsSync, readdirSync, realpathSync, accessSync, Stats, Dirent,
    constants: { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 }, F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1,
  };
  for (const name of Object.keys(sync)) exports[name] = later(sync[name]);
  exports.exists = (path, callback) => node.timers.setImmediate(() => callback(existsSync(path)));
  Object.defineProperty(exports, "promises", { get: () => node.builtin("fs/promises"), enumerable: true });
  Object.defineProperty(exports, "sync", { value: sync });
  return exports;
});
