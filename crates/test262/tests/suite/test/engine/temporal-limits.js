/*---
description: >
  A wall clock time before the first representable one is taken if its instant can be represented, where the standard has a
  RangeError.
features: [Temporal]
---*/
Temporal.ZonedDateTime.from("-271821-04-19T23:00-01:00[-01:00]", { offset: "reject" });
