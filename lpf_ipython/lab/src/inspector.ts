/** The panel that shows a paused cell: its stack, source lines, variables, an expression field. */
import { Widget } from '@lumino/widgets';

import * as actions from './actions';
import { button, element, set } from './dom';
import { show } from './durations';
import { asFrames, type Frame } from './inspected';
import type { Cells } from './model';
import { hasEnded, type Job } from './protocol';
import { lookUp, type Scope, variableList } from './values';

export class Inspector extends Widget {
  constructor() {
    super();
    this.addClass('lpf-panel');
    this.addClass('lpf-inspector');
    this.node.dataset['lmSuppressShortcuts'] = 'true';
    this.node.append(element('p', 'lpf-muted', 'No cell is being looked at.'));
  }

  /** Looks at a job of a kernel; *title* names the notebook. */
  look(cells: Cells, job: Job, title: string): void {
    this._cells?.changed.disconnect(this.follow, this);
    this._cells = cells;
    this._job = job;
    this._title = title;
    this._frame = 0;
    cells.changed.connect(this.follow, this);
    void this.read();
  }

  override dispose(): void {
    this._cells?.changed.disconnect(this.follow, this);
    super.dispose();
  }

  /** Reads anew when the cell was paused again, and says when it runs or is over. */
  private follow(): void {
    const { _cells: cells, _job: job } = this;
    if (cells === null || job === null) {
      return;
    }
    const now = cells.jobs.find(each => each.id === job.id && each.msgId === job.msgId) ?? null;
    if (now === null) {
      this.say('The kernel was restarted, or has ended.');
      return;
    }
    if (now.state !== job.state || now.elapsed !== job.elapsed) {
      this._job = now;
      void this.read();
    }
  }

  private async read(): Promise<void> {
    const { _cells: cells, _job: job } = this;
    if (cells === null || job === null) {
      return;
    }
    if (job.state !== 'paused') {
      this.say(hasEnded(job) ? `The cell has ${ended(job)}.` : 'The cell runs.');
      return;
    }
    const reply = await cells.request('lpf_inspect_request', { job: job.id });
    if (this._job !== job) {
      return; // Another was chosen, or it went on, meanwhile.
    }
    if (!reply.ok) {
      this.say(reply.reason);
      return;
    }
    this.draw(cells, job, asFrames(reply.content['inspect']));
  }

  private draw(cells: Cells, job: Job, frames: readonly Frame[]): void {
    const times = `${show(job.elapsed)}, CPU ${show(job.cpuTime)}`;
    this.node.replaceChildren(
      element('h3', 'lpf-title', this._title),
      element('p', '', `Paused at ${job.where || 'its beginning'} · ${times}`),
      element(
        'p',
        'lpf-bar-buttons',
        button('Resume', 'Let it go on', () => void actions.resume(cells, job)),
        button('Resume for…', 'For some time', () => void actions.resumeFor(cells, job)),
        button('Cancel', 'End it; its cleanup runs', () => void actions.cancel(cells, job))
      ),
      ...frames.map(frame => this.frameNode({ cells, job, frame: frame.index }, frame)),
      ...(frames.length === 0 ? [element('p', 'lpf-muted', 'No Python frame to show.')] : []),
      this.expressionField(cells, job, frames)
    );
  }

  private frameNode(scope: Scope, frame: Frame): HTMLElement {
    const lines = frame.source.map(line =>
      element(
        'div',
        line.current ? 'lpf-line lpf-current' : 'lpf-line',
        `${String(line.line).padStart(4)} ${line.text}`
      )
    );
    const source = set(element('pre', 'lpf-source', ...lines), { 'aria-label': 'source' });
    const node = element(
      'details',
      'lpf-frame',
      element('summary', '', `${frame.name}  `, element('span', 'lpf-muted', frame.where)),
      source,
      variableList(scope, frame.variables)
    );
    if (frame.moreVariables > 0) {
      node.append(element('div', 'lpf-muted', `… ${frame.moreVariables} more variables`));
    }
    node.open = frame.index === this._frame;
    return node;
  }

  /** A field for an expression, the frame that it is evaluated in, and what came of it. */
  private expressionField(cells: Cells, job: Job, frames: readonly Frame[]): HTMLElement {
    const chosen = set(element('select', 'lpf-field'), { 'aria-label': 'Frame' });
    for (const frame of frames) {
      chosen.append(new Option(`in ${frame.name}, ${frame.where}`, String(frame.index)));
    }
    const field = set(element('input', 'lpf-field lpf-expression'), {
      'aria-label': 'Expression to evaluate in the frame',
      placeholder: 'Expression, then Enter',
      spellcheck: 'false',
      autocomplete: 'off'
    });
    const results = set(element('div', 'lpf-results'), { role: 'log', 'aria-label': 'Values' });
    const form = element('form', 'lpf-evaluate', field, chosen);
    form.addEventListener('submit', event => {
      event.preventDefault();
      const expression = field.value.trim();
      if (expression !== '') {
        const scope = { cells, job, frame: Number(chosen.value) };
        void evaluate(scope, expression).then(node => results.prepend(node));
      }
    });
    return element('section', '', form, results);
  }

  private say(sentence: string): void {
    this.node.replaceChildren(
      element('h3', 'lpf-title', this._title),
      set(element('p', 'lpf-muted', sentence), { role: 'status' })
    );
  }

  private _cells: Cells | null = null;
  private _job: Job | null = null;
  private _title = '';
  private _frame = 0;
}

async function evaluate(scope: Scope, expression: string): Promise<HTMLElement> {
  const found = await lookUp(scope, expression);
  if (typeof found === 'string') {
    return element('div', 'lpf-problem', found);
  }
  const { type, value, expandable } = found;
  return variableList(scope, [{ index: null, name: expression, type, value, expandable }]);
}

function ended(job: Job): string {
  return job.state === 'finished' ? 'ended' : job.state === 'failed' ? 'failed' : `been ${job.state}`;
}
