throw new RangeError("while it ran");
