/** What piscina's worker runs: the same loop over columns that are shared. */
export default function move({ columns: [px, py, vx, vy], rows, dt }) {
  for (let i = 0; i < rows; i++) {
    px[i] += vx[i] * dt;
    py[i] += vy[i] * dt;
  }
}
