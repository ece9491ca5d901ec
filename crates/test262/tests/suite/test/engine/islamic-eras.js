/*---
description: >
  Years before and after the first one of the Islamic calendar have the same era, where Intl's proposal has two.
---*/
const format = new Intl.DateTimeFormat("en", { calendar: "islamic-civil", era: "long", year: "numeric" });
const era = (date) => format.formatToParts(date).find(({ type }) => type === "era").value;
assert.same(era(new Date("0500-01-01")), era(new Date("2000-01-01")));
