/** What of a world is shown to those who follow it. */
import { ServeError } from "../errors.js";
import type { AnyComponent, ComponentType } from "./component.js";
import type { World } from "./world.js";

/** How a component is published. */
export interface PublishedComponent {
  readonly component: AnyComponent;
  /** Fields that are rounded, by the greatest error that this may make: `{ x: 0.01 }`. Others are exact. */
  readonly quantised?: Readonly<Record<string, number>>;
  /** Fields that go on as they went: what is sent is the difference to that. */
  readonly linear?: readonly string[];
  /** Fields that are not sent. */
  readonly hidden?: readonly string[];
  /** Whether entities are shown that do not have it. */
  readonly optional?: boolean;
}

/**
 * The components that are shown, as the core is told of them: every one that lies in columns, as optional, unless told.
 * @throws {@link ServeError} for a component or a field that cannot be shown.
 */
export function describePublished(
  world: World,
  components: readonly (AnyComponent | PublishedComponent)[] | undefined,
): string[] {
  const all = world.components.filter(({ fields }) => fields).map((component) => ({ component, optional: true }));
  const list = components?.map((entry) => ("component" in entry ? entry : { component: entry })) ?? all;
  if (list.length === 0) throw new ServeError("serve-component", "there is no component with `fields` to publish");
  return list.flatMap((published: PublishedComponent) => {
    const component = world.component(published.component as ComponentType);
    if (!component.codec) {
      throw new ServeError("serve-component", `\`${component.name}\` has no \`fields\`, so it cannot be published`);
    }
    const known = (field: string): string => {
      if (component.codec!.columns.some(({ name }) => name === field)) return field;
      throw new ServeError("serve-component", `\`${component.name}\` has no field \`${field}\``);
    };
    return [
      `component ${component.name}`,
      ...Object.entries(published.quantised ?? {}).map(([field, error]) => `quantised ${known(field)} ${error}`),
      ...(published.linear ?? []).map((field) => `linear ${known(field)}`),
      ...(published.hidden ?? []).map((field) => `hidden ${known(field)}`),
      ...(published.optional ? ["optional"] : []),
    ];
  });
}

/** A number of ticks. */
export function wholeTicks(who: string, name: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value;
  throw new ServeError("serve-options", `${who}: \`${name}\` must be a whole number from 1 on, not ${value}`);
}
