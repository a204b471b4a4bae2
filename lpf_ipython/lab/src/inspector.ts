/**
 * Shows a paused cell: its stack, source lines, variables, an expression field. At the side, or in
 * the cell itself, below the bar.
 */
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import * as actions from './actions';
import { button, element, refill, set } from './dom';
import { show } from './durations';
import { asFrames, type Frame } from './inspected';
import type { Cells } from './model';
import { hasEnded, type Job } from './protocol';
import { lookUp, type Scope, variableList } from './values';

export interface Within {
  readonly close: () => void;
  readonly move: () => void;
}

export class Inspector extends Widget {
  /** One that lies in a cell can be closed, and moved: shown at the side instead. */
  constructor(private readonly within: Within | null = null) {
    super();
    this.addClass('lpf-panel');
    this.addClass('lpf-inspector');
    this.toggleClass('lpf-within', within !== null);
    set(this.node, { role: 'region', 'aria-label': 'Paused cell', tabindex: '-1' });
    if (within !== null) {
      // Keys in it are no commands of the notebook around it.
      this.node.dataset['lmSuppressShortcuts'] = 'true';
    }
    this.node.append(
      element('h2', 'lpf-heading', HEADING),
      element('p', 'lpf-muted', 'No cell is being looked at. Pause one and inspect it.')
    );
    this.node.addEventListener('keydown', event => {
      if (event.key === 'Escape' && within !== null) {
        event.stopPropagation();
        within.close();
      }
    });
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
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

  get looksAt(): Job | null {
    return this._job;
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
    refill(
      this.node,
      ...(this.within ? [] : this.head(cells, job)),
      ...frames.map(frame => this.frameNode({ cells, job, frame: frame.index }, frame)),
      ...(frames.length === 0 ? [element('p', 'lpf-muted', 'No Python frame to show.')] : []),
      this.expressionField(cells, job, frames)
    );
  }

  /** What the bar says of a cell that has one. */
  private head(cells: Cells, job: Job): HTMLElement[] {
    const times = `${show(job.elapsed)}, CPU ${show(job.cpuTime)}`;
    return [
      element('h2', 'lpf-heading', HEADING),
      element('h3', 'lpf-title', this._title),
      element('p', '', `Paused at ${job.where || 'its beginning'} · ${times}`),
      element(
        'p',
        'lpf-bar-buttons',
        button('Resume', 'Let it go on', () => void actions.resume(cells, job)),
        button('Resume for…', 'For some time', () => void actions.resumeFor(cells, job)),
        button('Cancel', 'End it; its cleanup runs', () => void actions.cancel(cells, job))
      )
    ];
  }

  private frameNode(scope: Scope, frame: Frame): HTMLElement {
    const lines = frame.source.map(line =>
      element(
        'div',
        line.current ? 'lpf-line lpf-current' : 'lpf-line',
        element('span', 'lpf-muted', String(line.line).padStart(4)),
        ` ${line.text}`
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
    const { within } = this;
    const submit = button('Evaluate', 'Evaluate the expression in the frame', () => undefined);
    submit.type = 'submit';
    const form = element(
      'form',
      'lpf-evaluate',
      field,
      chosen,
      submit,
      ...(within
        ? [button('Move to the side', 'Show this in the side panel instead', within.move)]
        : [])
    );
    // Inside a notebook, Enter alone submits no form.
    field.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    form.addEventListener('submit', event => {
      event.preventDefault();
      const expression = field.value.trim();
      if (expression !== '') {
        const scope = { cells, job, frame: Number(chosen.value) };
        void evaluate(scope, expression).then(node => {
          results.prepend(node);
          node.scrollIntoView({ block: 'nearest' });
        });
      }
    });
    return element('section', '', form, results);
  }

  private say(sentence: string): void {
    const head = [element('h2', 'lpf-heading', HEADING), element('h3', 'lpf-title', this._title)];
    refill(
      this.node,
      ...(this.within ? [] : head),
      set(element('p', 'lpf-muted', sentence), { role: 'status' })
    );
  }

  private _cells: Cells | null = null;
  private _job: Job | null = null;
  private _title = '';
  private _frame = 0;
}

const HEADING = 'Paused cell';

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
