import path, { posix, win32, join, sep } from "node:path";
import bare from "path";

console.log(path === posix, bare === path, sep, path.delimiter, win32.sep, win32.delimiter);
const samples = ["", "/", "//", "///", ".", "..", "a", "a/", "/a", "/a/", "a/b", "a//b", "./a", "../a", "a/..", "a/../..", "/../a", "/a/../../b", "a/./b/../c", "a.txt", ".hidden", "a.b.c", "a.", "..a", "/x/.y", "a/b.c/", "C:\\a\\b.c", "C:", "C:a", "C:\\", "\\\\server\\share\\x", "\\a\\..\\b", "a\\b/c", "c:/x/../y"];
for (const kind of ["posix", "win32"]) {
  const p = path[kind];
  for (const sample of samples) {
    console.log(kind, JSON.stringify(sample), JSON.stringify([p.normalize(sample), p.dirname(sample), p.basename(sample), p.extname(sample), p.isAbsolute(sample), p.parse(sample)]));
  }
}
for (const [one, other] of [["/a/b/c", "/a/d"], ["/a", "/a"], ["/a/b", "/"], ["/", "/x"], ["/a/bc", "/a/b"], ["/x/y/", "/x/y/z"]]) console.log(posix.relative(one, other));
for (const [one, other] of [["C:\\a\\b", "C:\\a\\d"], ["C:\\a", "c:\\A\\b"], ["C:\\a", "D:\\a"]]) console.log(win32.relative(one, other));
console.log(join("a", "..", "..", "b"), join(), join(""), join("/", "/x"), join("a/", "/b"), join("a", "", "b"));
console.log(posix.resolve("/a", "b", "../c"), posix.resolve("/a", "/b"), posix.resolve("/"), posix.resolve("x") === `${process.cwd()}/x`);
console.log(win32.resolve("C:\\a", "b", "..\\c"), win32.resolve("C:\\a", "D:\\b"), win32.join("C:\\a", "..", "b"), win32.resolve("C:\\a", "\\b"));
console.log(path.basename("/a/b.html", ".html"), path.basename("b", "b"), path.format({ dir: "/d", base: "b.c" }), path.format({ root: "/", name: "n", ext: "e" }), path.format({ name: "n", ext: ".e" }));
try {
  join(1);
} catch (error) {
  console.log(error.name, error.code, error.message);
}
