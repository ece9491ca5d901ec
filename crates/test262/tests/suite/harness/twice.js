var twice = (value) => [value, value];
