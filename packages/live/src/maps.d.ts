declare module "map:us" {
  import type { GeometryCollection, Topology } from "topojson-specification";
  const topology: Topology<{ states: GeometryCollection }>;
  export default topology;
}
declare module "map:world" {
  import type { GeometryObject, Topology } from "topojson-specification";
  const topology: Topology<{ land: GeometryObject }>;
  export default topology;
}
