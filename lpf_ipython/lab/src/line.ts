/** The line at which a paused cell stands, highlighted in its editor. */
import { type Extension, StateEffect, StateField } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView } from '@codemirror/view';
import type { CodeCell } from '@jupyterlab/cells';

import type { Job } from './protocol';

const put = StateEffect.define<number | null>();

const marked = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(put)) {
        const { doc } = transaction.state;
        const line = effect.value;
        marks =
          line === null || line > doc.lines
            ? Decoration.none
            : Decoration.set(Decoration.line({ class: 'lpf-here' }).range(doc.line(line).from));
      }
    }
    return marks.map(transaction.changes);
  },
  provide: (field): Extension => EditorView.decorations.from(field)
});

/** Highlights a line in a cell's editor; null takes the highlight away. */
export function highlight(cell: CodeCell, line: number | null): void {
  const view = (cell.editor as { editor?: unknown } | null)?.editor;
  if (!(view instanceof EditorView)) {
    return; // Not drawn yet.
  }
  const known = view.state.field(marked, false) !== undefined;
  if (!known && line === null) {
    return;
  }
  if (shown.get(view) !== line) {
    shown.set(view, line);
    const effects = [...(known ? [] : [StateEffect.appendConfig.of(marked)]), put.of(line)];
    view.dispatch({ effects });
  }
}

const shown = new WeakMap<EditorView, number | null>();

/** The line and the number of the cell where a job stands; null outside of cells. */
export function placeOf(job: Job): { line: number; cell: number } | null {
  const [, line, cell] = /^line (\d+) in <cell (\d+)>$/.exec(job.where) ?? [];
  return line === undefined ? null : { line: Number(line), cell: Number(cell) };
}
