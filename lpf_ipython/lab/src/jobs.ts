/** The panel that lists the running and paused cells of all kernels. */
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import * as actions from './actions';
import { button, element, refill, set } from './dom';
import { show, showRunning } from './durations';
import { canGo } from './goto';
import type { AllKernels, Listed } from './kernels';
import type { Cells } from './model';
import { hasEnded, type Job } from './protocol';

export class JobsPanel extends Widget {
  constructor(
    private readonly kernels: AllKernels,
    private readonly inspect: (cells: Cells, job: Job, title: string) => void,
    private readonly go: (listed: Listed, job: Job) => Promise<void>
  ) {
    super();
    this.addClass('lpf-panel');
    this.addClass('lpf-jobs');
    set(this.node, { role: 'region', 'aria-label': 'Running and paused cells', tabindex: '-1' });
    kernels.changed.connect(this.update, this);
  }

  override dispose(): void {
    this.kernels.changed.disconnect(this.update, this);
    this.kernels.stop();
    super.dispose();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.kernels.start();
    this._timer = setInterval(() => this.tick(), 1000);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    clearInterval(this._timer);
    this.kernels.stop();
  }

  protected override onUpdateRequest(): void {
    // Buttons that stay keep the focus.
    const shown = JSON.stringify(this.kernels.listed.map(contentOf));
    if (shown !== this._shown) {
      this._shown = shown;
      refill(this.node, element('h2', 'lpf-heading', 'Running and paused cells'), ...this.content());
    }
    this.tick();
  }

  private content(): HTMLElement[] {
    const listed = this.kernels.listed.filter(({ cells }) => cells.loaded === 'yes');
    this._clocks = [];
    if (listed.length === 0) {
      return [element('p', 'lpf-muted', 'No kernel has lpf loaded.')];
    }
    return listed.map(each => {
      const jobs = openJobs(each.cells);
      const list = set(element('ul', 'lpf-list'), { 'aria-label': `Cells of ${each.name}` });
      list.append(...jobs.map(job => this.row(each, job)));
      const none = jobs.length === 0 ? [element('p', 'lpf-muted', 'no cell runs or is paused')] : [];
      return element('section', '', element('h3', 'lpf-title', each.name), ...none, list);
    });
  }

  private row(listed: Listed, job: Job): HTMLElement {
    const { cells, name } = listed;
    const clock = element('span', 'lpf-muted');
    this._clocks.push(() => {
      const since = job.state === 'running' ? (Date.now() - cells.heardOf(job)) / 1000 : 0;
      const elapsed = job.elapsed + since;
      clock.textContent = job.state === 'running' ? showRunning(elapsed) : show(elapsed);
    });
    const cell = job.executionCount === null ? 'cell' : `[${job.executionCount}]`;
    const state = job.pending === null ? job.state : `${job.state}, about to ${job.pending}`;
    const buttons =
      job.state === 'paused'
        ? [
            button('Resume', 'Let it go on', () => void actions.resume(cells, job)),
            button('Resume for…', 'For some time', () => void actions.resumeFor(cells, job)),
            button('Cancel', 'End it', () => void actions.cancel(cells, job)),
            button('Inspect', 'Look at its stack', () => this.inspect(cells, job, name))
          ]
        : [
            button('Pause', 'Pause it', () => void actions.pause(cells)),
            button('Cancel', 'End it', () => void actions.cancel(cells, job))
          ];
    return element(
      'li',
      `lpf-job lpf-${job.state}`,
      this.place(listed, job, [
        element('div', '', `${cell} ${state} `, clock),
        element('div', 'lpf-muted', job.where)
      ]),
      element('div', 'lpf-bar-buttons', ...buttons)
    );
  }

  /** What says which cell it is, and leads to it. */
  private place(listed: Listed, job: Job, said: HTMLElement[]): HTMLElement {
    if (!canGo(listed)) {
      return element('div', '', ...said);
    }
    const place = button('', 'Go to the cell', () => void this.go(listed, job));
    place.className = 'lpf-go';
    place.append(...said);
    return place;
  }

  private tick(): void {
    for (const clock of this._clocks) {
      clock();
    }
  }

  private _shown = '';
  private _clocks: (() => void)[] = [];
  private _timer: ReturnType<typeof setInterval> | undefined;
}

function openJobs(cells: Cells): Job[] {
  return cells.jobs.filter(job => !hasEnded(job));
}

/** What a kernel's section shows but for the clocks. */
function contentOf({ id, name, notebook, cells }: Listed): unknown {
  const jobs = openJobs(cells).map(job => [
    job.id,
    job.state,
    job.where,
    job.pending,
    job.executionCount,
    job.state === 'paused' ? job.elapsed : 0
  ]);
  return [id, name, notebook, cells.loaded, jobs];
}
