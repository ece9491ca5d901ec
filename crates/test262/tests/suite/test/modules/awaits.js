/*---
description: A module that awaits is done when it was evaluated.
flags: [module]
---*/
await new Promise((resolve) => setTimeout(resolve, 1));
print("nobody listens");
