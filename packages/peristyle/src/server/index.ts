/** A world of Node, served to those who follow it with `peristyle/client`. */
export { publishWorld, type ClientInput, type Publication, type PublishWorldOptions } from "./publish.js";
export type { PublishedComponent } from "../world/published.js";
