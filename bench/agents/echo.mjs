// The other side of a figure in our agents.
import { answer } from "./measure.mjs";

onmessage = ({ data }) => answer(data, postMessage);
