throw new RangeError("broken");
