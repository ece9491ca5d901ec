/*---
description: Needs what the engine lacks.
features: [ShadowRealm]
---*/
new ShadowRealm().evaluate("1");
