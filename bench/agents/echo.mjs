// The other side of a figure in our agents.
import { answer, listen } from "./measure.mjs";

if (name === "listener") listen(postMessage);
onmessage = ({ data }) => answer(data, postMessage);
