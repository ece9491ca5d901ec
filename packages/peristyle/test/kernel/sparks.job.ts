/** What `examples/kernel-c/kernel.c` does, one row after the other. */
interface Group {
  readonly fields: Readonly<Record<string, Float32Array>>;
  readonly changed: Uint8Array;
}

interface Input {
  readonly snap: { readonly rows: number; readonly despawn: Uint8Array; readonly comps: Readonly<Record<number, Group>> };
  readonly dt: number;
  readonly extra: readonly number[];
}

const { fround } = Math;

export function handle({ snap, dt, extra }: Input): void {
  const [position, velocity, life] = extra.map((id) => snap.comps[id]);
  const { x, y } = position.fields as Record<"x" | "y", Float32Array>;
  const { x: vx, y: vy } = velocity.fields as Record<"x" | "y", Float32Array>;
  const { seconds } = life.fields as Record<"seconds", Float32Array>;
  const step = fround(dt);
  const fall = fround(fround(-9.81) * step);
  for (let i = 0; i < snap.rows; i++) {
    let speed = fround(vy[i] + fall);
    let height = fround(y[i] + fround(speed * step));
    if (height < 0) [height, speed] = [0, speed * -0.5];
    [y[i], vy[i]] = [height, speed];
    x[i] += fround(vx[i] * step);
    seconds[i] -= step;
    if (seconds[i] <= 0) snap.despawn[i >> 3] |= 1 << (i & 7);
  }
  for (const { changed } of [position, velocity, life]) changed.fill(255);
}
