/** Worlds: entities, components, queries, commands, blueprints, resources. */
export { World, type Removals, type Row, type RowGetter, type WorldOptions } from "./world.js";
export type {
  AnyComponent,
  ColumnarOptions,
  ColumnsOfComponent,
  ComponentHook,
  ComponentType,
  Entity,
  ObjectOptions,
  ValueOf,
} from "./component.js";
export type { Column, ColumnsOf, ColumnTypes, Fields, FieldSpec, FieldValue, Scalar } from "./fields.js";
export { makeBlueprint, spawn, type Blueprint, type BlueprintStep, type Overrides } from "./blueprint.js";
export type { Maker } from "./maker.js";
export { CommandBuffer, isProvisional, type Applied } from "./commands.js";
export { Query, type QuerySpec } from "./query.js";
export { ResourcesBag, type ResourceKey, type ResourceOptions, type ResourceType } from "./resource.js";
export type { ChunkView, ViewedGroup } from "./view.js";
export { viewWorld, WorldView, type WorldViewOptions } from "./world-view.js";
export type { PublishedComponent } from "./published.js";
