/** Keeps of a topology only some objects, their shapes, and the arcs that these use. */
export function prune({ transform, arcs, objects }, names) {
  const kept = [];
  const places = new Map();
  const place = (arc) => {
    const positive = arc < 0 ? ~arc : arc;
    if (!places.has(positive)) places.set(positive, kept.push(arcs[positive]) - 1);
    const found = places.get(positive);
    return arc < 0 ? ~found : found;
  };
  const renamed = (arcs) => (Array.isArray(arcs) ? arcs.map(renamed) : place(arcs));
  const shape = ({ type, arcs, geometries }) => ({
    type,
    ...(arcs && { arcs: renamed(arcs) }),
    ...(geometries && { geometries: geometries.map(shape) }),
  });
  const chosen = Object.fromEntries(names.map((name) => [name, shape(objects[name])]));
  return { type: "Topology", transform, arcs: kept, objects: chosen };
}
