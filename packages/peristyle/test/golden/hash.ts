/** What 1 000 frames of the golden app come to, in every host. It changes only if the app does. */
export const HASH = "be99d6b9";
