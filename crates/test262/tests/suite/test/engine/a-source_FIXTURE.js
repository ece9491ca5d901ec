import source shared from "<module source>";
export { shared };
