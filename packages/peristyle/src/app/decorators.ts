/**
 * Modules declared by decorators, as ECMAScript has them.
 *
 * ```ts
 * @Module({ name: "counter" })
 * class Counter {
 *   @State accessor count = 0;
 *   @Action increase(step = 1) {
 *     return (this.count += step);
 *   }
 * }
 * ```
 *
 * Members are noted for each instance when it is made, and not in `Symbol.metadata`, which engines do not have yet.
 */
import { AppError, defineModule, noteMember, type ModuleOptions } from "./modules.js";

type Member<Kind extends string> = {
  readonly kind: Kind;
  readonly name: string | symbol;
  readonly static: boolean;
  readonly private: boolean;
  addInitializer(initializer: (this: unknown) => void): void;
};

function note(list: "state" | "actions", { name, addInitializer, ...context }: Member<string>): void {
  if (typeof name !== "string" || context.static || context.private) {
    throw new AppError("app-module", `\`${String(name)}\`: clients see public members of an instance, under names`);
  }
  addInitializer(function () {
    noteMember(this as object, list, name);
  });
}

/** Makes a class a module. What it names in `state` and `actions` is added to what is decorated. */
export function Module(options: ModuleOptions) {
  return <T extends new () => object>(target: T, _: { readonly kind: "class" }): void => {
    defineModule(target, options);
  };
}

/** Makes an accessor or a field a member that clients mirror. */
export function State(_: unknown, context: Member<"accessor" | "field">): void {
  note("state", context);
}

/** Makes a method an action: clients may call it, and what it writes is one change. */
export function Action(_: unknown, context: Member<"method">): void {
  note("actions", context);
}
