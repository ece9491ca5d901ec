// DOMException.
(function (internals) {
  "use strict";

  const { native, put, tag, defineProperty, setPrototypeOf } = internals;
  const { Error } = globalThis;

  // A name's place is its code; names without one have code 0.
  const CODES = [
    , "IndexSizeError", , "HierarchyRequestError", "WrongDocumentError", "InvalidCharacterError", ,
    "NoModificationAllowedError", "NotFoundError", "NotSupportedError", "InUseAttributeError", "InvalidStateError",
    "SyntaxError", "InvalidModificationError", "NamespaceError", "InvalidAccessError", , "TypeMismatchError",
    "SecurityError", "NetworkError", "AbortError", "URLMismatchError", "QuotaExceededError", "TimeoutError",
    "InvalidNodeTypeError", "DataCloneError",
  ];
  const CONSTANTS = [
    "INDEX_SIZE", "DOMSTRING_SIZE", "HIERARCHY_REQUEST", "WRONG_DOCUMENT", "INVALID_CHARACTER", "NO_DATA_ALLOWED",
    "NO_MODIFICATION_ALLOWED", "NOT_FOUND", "NOT_SUPPORTED", "INUSE_ATTRIBUTE", "INVALID_STATE", "SYNTAX",
    "INVALID_MODIFICATION", "NAMESPACE", "INVALID_ACCESS", "VALIDATION", "TYPE_MISMATCH", "SECURITY", "NETWORK", "ABORT",
    "URL_MISMATCH", "QUOTA_EXCEEDED", "TIMEOUT", "INVALID_NODE_TYPE", "DATA_CLONE",
  ];

  // Instances are the host's objects, which carry what they are through clones. They are no `Error` objects, which the
  // engine would clone as such.
  class DOMException {
    constructor(message = "", name = "Error", options = undefined) {
      const stack = new Error().stack;
      // As Node has it: options in the place of the name.
      if (typeof name === "object" && name !== null) [options, name] = [name, name.name ?? "Error"];
      const exception = native.exception(`${name}`, `${message}`, stack);
      if (new.target !== DOMException) setPrototypeOf(exception, new.target.prototype);
      if (options && "cause" in options) put(exception, "cause", options.cause);
      return exception;
    }
    get name() {
      return native.exceptionPart(this, 0);
    }
    get message() {
      return native.exceptionPart(this, 1);
    }
    get code() {
      const code = CODES.indexOf(native.exceptionPart(this, 0));
      return code < 0 ? 0 : code;
    }
    get stack() {
      return native.exceptionPart(this, 2);
    }
  }
  setPrototypeOf(DOMException.prototype, Error.prototype);
  tag(DOMException, "DOMException");
  for (let at = 0; at < CONSTANTS.length; at++) {
    defineProperty(DOMException, `${CONSTANTS[at]}_ERR`, { __proto__: null, value: at + 1, enumerable: true });
    defineProperty(DOMException.prototype, `${CONSTANTS[at]}_ERR`, { __proto__: null, value: at + 1, enumerable: true });
  }

  native.prototype(1, DOMException.prototype);
  internals.DOMException = DOMException;
  return { DOMException };
});
