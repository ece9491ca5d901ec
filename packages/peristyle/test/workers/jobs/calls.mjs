/** Does what its input says. */
export default function ({ do: what, input, list }) {
  switch (what) {
    case "echo":
      return input;
    case "sum":
      return input.reduce((sum, n) => sum + n, 0);
    case "spoil":
      list.push(2);
      return list;
    case "throw":
      throw new TypeError("throw");
    case "reject":
      return Promise.reject(new TypeError("reject"));
    case "function":
      return () => {};
    case "exit":
      return process.exit(5);
    case "hang":
      for (;;);
    case "hoard": {
      const all = [];
      for (;;) all.push(Array.from({ length: 10_000 }, (_, i) => ({ i })));
    }
  }
}
