/**
 * What the cells of one notebook show about themselves: a word at the prompt, a bar in a cell that
 * is paused or waits, and below it the stack.
 */
import type { CodeCell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { PanelLayout, Widget } from '@lumino/widgets';

import * as actions from './actions';
import { Bar, type Button } from './bar';
import { show, showRunning } from './durations';
import { Inspector } from './inspector';
import { highlight, placeOf } from './line';
import type { Cells } from './model';
import { hasEnded, type Job } from './protocol';

/** What a cell is doing, as far as its user is to know. */
export type Mark =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'running';
      readonly since: number;
      readonly job: Job | null;
      /** What a pause that is under way waits for, "" while that is not known; else null. */
      readonly pausing: string | null;
    }
  | { readonly kind: 'queued'; readonly msgId: string }
  | { readonly kind: 'paused'; readonly job: Job }
  | { readonly kind: 'ended'; readonly job: Job };

type Future = CodeCell['outputArea']['future'];

export class Marks {
  constructor(
    private readonly panel: NotebookPanel,
    /** Opens the side panel that shows the stack of a job. */
    private readonly inspectAside: (job: Job) => void
  ) {
    panel.disposed.connect(() => this.follow(null));
    // A cell that is moved, or put back, is a new widget.
    void panel.context.ready.then(() => {
      panel.content.model?.cells.changed.connect(() => this.renewSoon());
    });
    panel.content.node.addEventListener('mousedown', event => this.giveBackFocus(event));
  }

  /**
   * A notebook takes the focus for its own if it is anywhere in the active cell: when that is
   * clicked elsewhere, its shortcuts must work again.
   */
  private giveBackFocus(event: MouseEvent): void {
    const focused = document.activeElement;
    const ours = focused?.closest('.lpf-bar, .lpf-within');
    if (focused instanceof HTMLElement && ours && !ours.contains(event.target as Node)) {
      focused.blur();
      this.panel.content.activate();
    }
  }

  /** Shows the stack of a paused cell below it, or takes that away. */
  inspect(cell: CodeCell, job: Job): void {
    if (this._inspectors.has(cell)) {
      this.closeInspector(cell);
      this.renew();
    } else if (this._cells !== null) {
      const close = (): void => {
        this.closeInspector(cell);
        this.renew();
        this._bars.get(cell)?.focusLast();
      };
      const move = (): void => {
        this.closeInspector(cell);
        this.renew();
        this.inspectAside(job);
      };
      const inspector = new Inspector({ close, move });
      this.insert(cell, inspector, 'lpf-bar');
      this._inspectors.set(cell, inspector);
      inspector.look(this._cells, job, '');
      this.renew();
      inspector.activate();
    }
  }

  /** Shows the cells of another kernel. */
  follow(cells: Cells | null): void {
    this._cells?.changed.disconnect(this.renew, this);
    this._cells = cells;
    cells?.changed.connect(this.renew, this);
    this.renew();
  }

  /** Marks all cells anew. */
  renew(): void {
    clearTimeout(this._timer);
    if (this.panel.isDisposed) {
      return;
    }
    this.forgetDisposed();
    let running = false;
    for (const cell of this.panel.content.widgets) {
      if (cell.model.type === 'code') {
        const mark = this.markOf(cell as CodeCell);
        this.draw(cell as CodeCell, mark);
        running ||= mark.kind === 'running';
      }
    }
    if (running) {
      this._timer = setTimeout(() => this.renew(), 1000);
    }
  }

  /** Marks all cells anew when what was begun just now, such as a run of several, is done. */
  renewSoon(): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.renew(), 20);
  }

  private forgetDisposed(): void {
    for (const widgets of [this._bars, this._inspectors]) {
      for (const cell of widgets.keys()) {
        if (cell.isDisposed) {
          widgets.delete(cell);
        }
      }
    }
  }

  private markOf(cell: CodeCell): Mark {
    const cells = this._cells;
    if (cells === null) {
      return { kind: 'none' };
    }
    const request = this.requestOf(cell);
    const job = request === null ? cells.openJobOf(cell.model.id) : cells.jobOf(request.msgId);
    if (job?.state === 'paused') {
      return { kind: 'paused', job };
    }
    const msgId = request?.msgId ?? job?.msgId ?? '';
    const since = cells.runsSince(msgId);
    if (since !== null) {
      const pausing = cells.isPausing && cells.running.at(-1) === msgId ? cells.waitsFor : null;
      return { kind: 'running', since, job, pausing };
    }
    if (request !== null && !request.isDone && cells.loaded === 'yes' && job === null) {
      return { kind: 'queued', msgId };
    }
    const told = job?.state === 'cancelled' || job?.state === 'abandoned';
    return told ? { kind: 'ended', job } : { kind: 'none' };
  }

  /** The request that a cell was sent with last in this window, null if there was none. */
  private requestOf(cell: CodeCell): { msgId: string; isDone: boolean } | null {
    const future = cell.outputArea.future as Future | null | undefined;
    if (!future) {
      return null;
    }
    if (!this._futures.has(future)) {
      this._futures.set(future, false);
      const done = (): void => {
        this._futures.set(future, true);
        this.renewSoon();
      };
      future.done.then(done, done);
    }
    return { msgId: future.msg.header.msg_id, isDone: this._futures.get(future) ?? false };
  }

  private draw(cell: CodeCell, mark: Mark): void {
    if (cell.isPlaceholder()) {
      this.drawWhenReady(cell);
      return;
    }
    cell.node.dataset['lpf'] = mark.kind;
    const prompt = cell.inputArea?.promptNode;
    if (prompt) {
      prompt.dataset['lpf'] = promptOf(mark);
    }
    highlight(cell, this.lineIn(cell, mark.kind === 'paused' ? mark.job : null));
    if (!this.isOpen(this._inspectors.get(cell)?.looksAt ?? null)) {
      this.closeInspector(cell);
    }
    const buttons = this.buttonsOf(cell, mark);
    const bar = this._bars.get(cell);
    if (buttons.length > 0) {
      const [text, label] = sentenceOf(mark);
      (bar ?? this.addBar(cell)).update_(text, label, buttons);
    } else if (bar) {
      this._bars.delete(cell);
      this.remove(cell, bar);
    }
  }

  /** JupyterLab gives a cell its input and output when it comes near to what is seen. */
  private drawWhenReady(cell: CodeCell): void {
    if (!this._awaited.has(cell)) {
      this._awaited.add(cell);
      void cell.ready.then(() => this.renewSoon());
    }
  }

  /** Whether a job is not over. */
  private isOpen(job: Job | null): boolean {
    const now = job?.msgId ? this._cells?.jobOf(job.msgId) : null;
    return now !== null && now !== undefined && !hasEnded(now);
  }

  /** Takes a widget out of a cell. The focus, if it is there, stays in the cell. */
  private remove(cell: CodeCell, widget: Widget): void {
    const hasFocus = widget.node.contains(document.activeElement);
    widget.dispose();
    if (hasFocus && !cell.isDisposed) {
      const { content } = this.panel;
      content.activeCellIndex = content.widgets.indexOf(cell);
      content.mode = 'command';
      content.activate();
    }
  }

  private closeInspector(cell: CodeCell): void {
    const inspector = this._inspectors.get(cell);
    if (inspector) {
      this._inspectors.delete(cell);
      this.remove(cell, inspector);
    }
  }

  /** The line of this cell at which a paused job stands; a function may be another cell's. */
  private lineIn(cell: CodeCell, own: Job | null): number | null {
    const number = own?.executionCount ?? cell.model.executionCount;
    const jobs = own === null ? (this._cells?.paused ?? []) : [own];
    const places = jobs.map(placeOf).filter(place => place !== null);
    return places.find(place => place.cell === number)?.line ?? null;
  }

  private addBar(cell: CodeCell): Bar {
    const bar = new Bar();
    this.insert(cell, bar, 'jp-Cell-inputWrapper');
    this._bars.set(cell, bar);
    return bar;
  }

  /** Puts a widget into a cell, below the one of that class. */
  private insert(cell: CodeCell, widget: Widget, below: string): void {
    const layout = cell.layout as PanelLayout;
    layout.insertWidget(layout.widgets.findIndex(each => each.hasClass(below)) + 1, widget);
  }

  private buttonsOf(cell: CodeCell, mark: Mark): Button[] {
    const cells = this._cells;
    if (cells === null || mark.kind === 'none' || mark.kind === 'ended') {
      return [];
    }
    if (mark.kind === 'running') {
      const act = (): void => void actions.cancel(cells, mark.job ?? 'running');
      return mark.pausing ? [{ label: 'Cancel', title: 'End it; its cleanup runs', act }] : [];
    }
    if (mark.kind === 'queued') {
      const act = (): void => void actions.withdraw(cells, mark.msgId);
      return [{ label: 'Take out', title: 'Take this cell out of the queue', act }];
    }
    const { job } = mark;
    return [
      {
        label: 'Resume',
        title: 'Let it go on where it stands',
        act: () => void actions.resume(cells, job)
      },
      {
        label: 'Resume for…',
        title: 'Let it go on for some time',
        act: () => void actions.resumeFor(cells, job)
      },
      {
        label: 'Cancel',
        title: 'End it; its cleanup runs',
        act: () => void actions.cancel(cells, job)
      },
      {
        label: 'Inspect',
        title: 'Look at its stack and variables, here',
        pressed: this._inspectors.has(cell),
        act: () => this.inspect(cell, job)
      }
    ];
  }

  /** Whether the reply has come. */
  private readonly _futures = new WeakMap<Future, boolean>();
  private readonly _awaited = new WeakSet<CodeCell>();
  private readonly _bars = new Map<CodeCell, Bar>();
  private readonly _inspectors = new Map<CodeCell, Inspector>();
  private _cells: Cells | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** What stands below the number of a prompt. */
export function promptOf(mark: Mark): string {
  switch (mark.kind) {
    case 'none':
      return '';
    case 'running': {
      if (mark.pausing !== null) {
        return 'pausing…';
      }
      const elapsed = (Date.now() - mark.since) / 1000;
      return elapsed < 1 ? '' : showRunning(elapsed);
    }
    case 'queued':
      return 'waits';
    case 'paused':
      return 'paused';
    case 'ended':
      return mark.job.state;
  }
}

/** The sentence of a bar, and its label for a screen reader. */
export function sentenceOf(mark: Mark): [string, string] {
  if (mark.kind === 'running') {
    return [capitalised(mark.pausing ?? ''), 'Cell that is to be paused'];
  }
  if (mark.kind !== 'paused') {
    return ['Waits for the cells before it', 'Cell that waits'];
  }
  const { job } = mark;
  const where = job.where ? ` at ${job.where}` : '';
  const times = `${show(job.elapsed)}, CPU ${show(job.cpuTime)}`;
  const pending = job.pending === null ? '' : ` · about to ${job.pending}`;
  return [`Paused${reasonOf(job)}${where} · ${times}${pending}`, `Cell paused${where}`];
}

function reasonOf(job: Job): string {
  switch (job.reason) {
    case 'timeout':
      return job.limit === null ? ' after its time' : ` after its limit of ${show(job.limit)}`;
    case 'memory':
      return ' at the memory limit';
    case 'signal':
      return ' by a signal';
    case 'pause':
      return ' by itself';
    default:
      return '';
  }
}

function capitalised(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
