/** What the sparks come to, in every host. It changes only if they do. */
export const SPARKS = "10000 left, 7cb01f4c";
