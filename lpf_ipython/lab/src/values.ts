/** Values as a tree that opens level by level; each level is asked for when it is opened. */
import { element, set } from './dom';
import { asValue, typesShown, type Value, type Variable } from './inspected';
import type { Cells } from './model';
import type { Job, Reply } from './protocol';

/** Where values are looked up: a frame of a paused cell. */
export interface Scope {
  readonly cells: Cells;
  readonly job: Job;
  readonly frame: number;
}

/** Asks for an expression's value, or for what is at *path* in it. */
export async function lookUp(
  scope: Scope,
  expression: string,
  path: readonly number[] = []
): Promise<Value | string> {
  const reply: Reply = await scope.cells.request('lpf_evaluate_request', {
    job: scope.job.id,
    frame: scope.frame,
    expression,
    path
  });
  if (!reply.ok) {
    return reply.reason;
  }
  return asValue(reply.content['value']) ?? 'the kernel has not told it';
}

/** A list of variables, those that have something in them to be opened. */
export function variableList(
  scope: Scope,
  variables: readonly Variable[],
  expression: string | null = null,
  path: readonly number[] = []
): HTMLUListElement {
  const list = element('ul', 'lpf-values');
  const types = typesShown(variables);
  variables.forEach((variable, i) => {
    const of = expression ?? variable.name;
    const to = variable.index === null ? path : [...path, variable.index];
    list.append(element('li', '', variableNode(scope, variable, types[i] ?? '', of, to)));
  });
  return list;
}

function variableNode(
  scope: Scope,
  variable: Variable,
  shownType: string,
  expression: string,
  path: readonly number[]
): HTMLElement {
  const { name, type, value } = variable;
  const shown = [
    element('span', 'lpf-name', name),
    ' = ',
    set(element('span', 'lpf-value', value), { title: type }),
    ...(shownType === '' ? [] : [' ', element('span', 'lpf-type', shownType)])
  ];
  if (!variable.expandable || isPlain(type)) {
    return element('div', 'lpf-variable', ...shown);
  }
  const details = element('details', 'lpf-variable', element('summary', '', ...shown));
  opensWith(details, async () => {
    const found = await lookUp(scope, expression, path);
    if (typeof found === 'string') {
      return element('div', 'lpf-problem', found);
    }
    if (found.children.length === 0) {
      return element('div', 'lpf-muted', 'nothing more in it');
    }
    const list = variableList(scope, found.children, expression, path);
    if (found.more > 0) {
      list.append(element('li', 'lpf-muted', `… ${found.more.toLocaleString('en')} more`));
    }
    return list;
  });
  return details;
}

/** Fills a <details> when it is opened for the first time. */
function opensWith(details: HTMLDetailsElement, fill: () => Promise<HTMLElement>): void {
  const open = (): void => {
    if (details.open) {
      details.removeEventListener('toggle', open);
      void fill().then(content => details.append(content));
    }
  };
  details.addEventListener('toggle', open);
}

const PLAIN = new Set(['int', 'float', 'complex', 'str', 'bytes', 'bool', 'NoneType', 'range']);

function isPlain(type: string): boolean {
  return PLAIN.has(type);
}
