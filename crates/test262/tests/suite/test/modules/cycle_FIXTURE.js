export { own as again } from "./imports.js";
