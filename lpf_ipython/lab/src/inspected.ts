/** What the kernel tells about a paused cell's stack and values; see lpf_ipython/inspect.py. */
import { isFields, number, text } from './protocol';

export interface SourceLine {
  readonly line: number;
  readonly text: string;
  readonly current: boolean;
}

export interface Variable {
  /** The place among its siblings; null of a variable, which has its name. */
  readonly index: number | null;
  readonly name: string;
  readonly type: string;
  readonly value: string;
  readonly expandable: boolean;
}

export interface Frame {
  readonly index: number;
  readonly name: string;
  readonly where: string;
  readonly source: readonly SourceLine[];
  readonly variables: readonly Variable[];
  readonly moreVariables: number;
}

export interface Value {
  readonly type: string;
  readonly value: string;
  readonly expandable: boolean;
  readonly children: readonly Variable[];
  readonly more: number;
}

/** The frames of an inspect reply, innermost first. */
export function asFrames(inspected: unknown): Frame[] {
  return isFields(inspected) ? fieldsIn(inspected['frames']).map(asFrame) : [];
}

export function asValue(value: unknown): Value | null {
  if (!isFields(value)) {
    return null;
  }
  return {
    type: text(value['type']) ?? '',
    value: text(value['value']) ?? '',
    expandable: value['expandable'] === true,
    children: fieldsIn(value['children']).map(asVariable),
    more: number(value['more']) ?? 0
  };
}

/**
 * The types to be shown beside values: none that a value begins with, and none that all items of
 * something have.
 */
export function typesShown(variables: readonly Variable[]): string[] {
  const items = variables.filter(({ index }) => index !== null);
  const same = items.length > 1 && items.every(({ type }) => type === items[0]?.type);
  return variables.map(({ index, type, value }) =>
    (same && index !== null) || value.startsWith(type) ? '' : type
  );
}

type Fields = Readonly<Record<string, unknown>>;

function asFrame(frame: Fields): Frame {
  return {
    index: number(frame['index']) ?? 0,
    name: text(frame['function']) ?? '',
    where: text(frame['where']) ?? '',
    source: fieldsIn(frame['source']).map(line => ({
      line: number(line['line']) ?? 0,
      text: text(line['text']) ?? '',
      current: line['current'] === true
    })),
    variables: fieldsIn(frame['locals']).map(asVariable),
    moreVariables: number(frame['more_locals']) ?? 0
  };
}

function asVariable(variable: Fields): Variable {
  return {
    index: number(variable['index']),
    name: text(variable['name']) ?? '',
    type: text(variable['type']) ?? '',
    value: text(variable['value']) ?? '',
    // Of a variable in a frame it is only known when it is opened.
    expandable: variable['expandable'] !== false
  };
}

function fieldsIn(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}
