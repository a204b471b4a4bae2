import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Cells, type Channel } from '../src/model';
import { asJob, type Fields } from '../src/protocol';

const PAUSED = {
  id: 3,
  state: 'paused',
  msg_id: 'm3',
  cell_id: 'c3',
  execution_count: 5,
  where: 'line 2 in <cell 5>',
  elapsed: 1.5,
  cpu_time: 1.4,
  limit: null,
  reason: 'request',
  pending: null
};
const RUNNING = { ...PAUSED, state: 'running', reason: null };

/** A kernel that gives the answers it was told to give, by the type of the request. */
class Kernel implements Channel {
  readonly asked: [string, Fields][] = [];
  answers: Record<string, unknown> = { lpf_jobs_request: { status: 'ok', jobs: [] } };
  loads = 0;
  signals = 0;
  canSignal = true;

  ask(type: string, content: Fields): Promise<unknown> {
    this.asked.push([type, content]);
    return Promise.resolve(this.answers[type] ?? null);
  }

  load(): Promise<void> {
    this.loads += 1;
    return Promise.resolve();
  }

  signal(): Promise<boolean> {
    this.signals += 1;
    return Promise.resolve(this.canSignal);
  }
}

let kernel: Kernel;
let cells: Cells;

beforeEach(() => {
  vi.useFakeTimers();
  kernel = new Kernel();
  cells = new Cells(kernel);
});

afterEach(() => {
  cells.dispose();
  vi.useRealTimers();
});

function status(state: string, parentId: string, parentType = 'execute_request'): void {
  cells.handle({ type: 'status', parentId, parentType, content: { execution_state: state } });
}

function tell(content: unknown): void {
  cells.handle({ type: 'lpf_state', parentId: 'm3', parentType: 'execute_request', content });
}

describe('what runs', () => {
  it('follows the status of execute requests, not of others', () => {
    status('busy', 'm1');
    expect(cells.running).toEqual(['m1']);
    status('busy', 'x', 'lpf_pause_request');
    status('idle', 'x', 'lpf_pause_request');
    expect(cells.running).toEqual(['m1']);
    status('idle', 'm1');
    expect(cells.running).toEqual([]);
  });

  it('ends with a pause and begins again with a resume', () => {
    status('busy', 'm3');
    tell(PAUSED);
    expect(cells.running).toEqual([]);
    expect(cells.paused.map(job => job.id)).toEqual([3]);
    tell(RUNNING);
    expect(cells.running).toEqual(['m3']);
    expect(cells.paused).toEqual([]);
  });

  it('is not a cell that has to wait for a paused one', () => {
    status('busy', 'm3');
    status('idle', '', '');
    tell(PAUSED);
    status('busy', 'm4');
    status('idle', '', '');
    expect(cells.running).toEqual([]);
    status('busy', 'm5');
    expect(cells.running).toEqual(['m5']);
  });

  it('asks for the job of a cell that goes on for a while', async () => {
    await cells.refresh();
    kernel.answers['lpf_jobs_request'] = { status: 'ok', jobs: [RUNNING] };
    status('busy', 'm3');
    await vi.runAllTimersAsync();
    expect(cells.jobOf('m3')?.id).toBe(3);
  });

  it('is forgotten with the kernel', () => {
    status('busy', 'm1');
    tell(PAUSED);
    cells.forget();
    expect(cells.running).toEqual([]);
    expect(cells.jobs).toEqual([]);
    expect(cells.loaded).toBe('unknown');
  });
});

describe('a request of which nothing is heard', () => {
  beforeEach(async () => {
    await cells.refresh();
  });

  it('is taken to run when the kernel has nothing else to do', async () => {
    cells.sent('m1');
    cells.sent('m2');
    expect(cells.running).toEqual([]);
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual(['m1']);
    expect(cells.target(null)).toEqual({ pause: true, resume: null, cancel: 'running' });
    status('busy', 'm1');
    status('idle', 'm1');
    cells.answered('m1');
    expect(cells.running).toEqual([]);
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual(['m2']);
  });

  it('is not when it was answered, or another one runs', async () => {
    cells.sent('m1');
    cells.answered('m1');
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual([]);
    status('busy', 'm5');
    cells.sent('m2');
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual(['m5']);
  });

  it('is not when it waits for a paused one', async () => {
    cells.sent('m3');
    cells.sent('m4');
    status('busy', 'm3');
    tell(PAUSED);
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual([]);
    cells.sent('m5'); // It does not wait.
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual(['m5']);
    status('idle', 'm5');
    cells.answered('m5');
    tell(RUNNING);
    tell({ ...PAUSED, state: 'finished' });
    cells.answered('m3');
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual(['m4']);
  });

  it('is not when its reply may have been lost, or the kernel is not known to have lpf', async () => {
    cells.sent('m1');
    cells.forgetSent();
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual([]);
    kernel.answers = {};
    await cells.refresh();
    cells.sent('m2');
    await vi.runAllTimersAsync();
    expect(cells.running).toEqual([]);
  });
});

describe('what the buttons act on', () => {
  it('is nothing at first', () => {
    expect(cells.target(null)).toEqual({ pause: false, resume: null, cancel: null });
  });

  it('is the running cell', () => {
    status('busy', 'm1');
    expect(cells.target('c9')).toEqual({ pause: true, resume: null, cancel: 'running' });
  });

  it('is the paused cell if nothing runs', () => {
    tell(PAUSED);
    const { pause, resume, cancel } = cells.target('c9');
    expect([pause, resume?.id, cancel]).toEqual([false, 3, resume]);
  });

  it('is the running cell before a paused one that is not active', () => {
    tell(PAUSED);
    status('busy', 'm4');
    expect(cells.target('c9')).toEqual({ pause: true, resume: null, cancel: 'running' });
    expect(cells.target('c3').resume?.id).toBe(3);
  });

  it('is the active one of several paused cells, else the latest', () => {
    tell(PAUSED);
    tell({ ...PAUSED, id: 4, msg_id: 'm4', cell_id: 'c4' });
    expect(cells.target('c3').resume?.id).toBe(3);
    expect(cells.target('c9').resume?.id).toBe(4);
  });
});

describe('requests', () => {
  it('find out that lpf is not there', async () => {
    kernel.answers = {};
    await cells.refresh();
    expect(cells.loaded).toBe('no');
    expect(await cells.pause()).toMatchObject({ ok: false });
    expect(cells.isPausing).toBe(false);
  });

  it('say what a pause waits for until it comes', async () => {
    status('busy', 'm3');
    kernel.answers['lpf_pause_request'] = {
      status: 'error',
      evalue: 'not paused yet: …',
      job: RUNNING
    };
    await cells.pause();
    expect(kernel.asked).toEqual([['lpf_pause_request', { within: 1 }]]);
    expect(cells.isPausing).toBe(true);
    expect(cells.waitsFor).toBe('not paused yet: …');
    tell(PAUSED);
    expect(cells.isPausing).toBe(false);
    expect(cells.waitsFor).toBe('');
  });

  it('are followed by a signal if a pause is not answered', async () => {
    status('busy', 'm3');
    kernel.ask = () => new Promise(() => undefined);
    void cells.pause();
    await vi.advanceTimersByTimeAsync(1000);
    expect(kernel.signals).toBe(0);
    await vi.advanceTimersByTimeAsync(2000);
    expect(kernel.signals).toBe(1);
    expect(cells.waitsFor).toContain('It was sent a signal');
  });

  it('are not complained about when the signal was faster', async () => {
    status('busy', 'm3');
    const { ask } = kernel;
    kernel.answers['lpf_pause_request'] = { status: 'error', evalue: 'no cell is running' };
    kernel.ask = (type, content) => {
      tell({ ...PAUSED, reason: 'signal' });
      return ask.call(kernel, type, content);
    };
    expect(await cells.pause()).toMatchObject({ ok: true });
    expect(cells.paused.map(job => job.id)).toEqual([3]);
  });

  it('are not complained about when what the signal did is yet to be published', async () => {
    status('busy', 'm3');
    kernel.ask = async () => {
      await new Promise(resolve => setTimeout(resolve, 5000));
      return { status: 'error', evalue: 'no cell is running' };
    };
    const paused = cells.pause();
    await vi.advanceTimersByTimeAsync(6000);
    expect(await paused).toMatchObject({ ok: true });
    expect(cells.isPausing).toBe(false);
  });

  it('cancel the cell that was meant, if it was paused before they were heard', async () => {
    status('busy', 'm3');
    kernel.answers['lpf_jobs_request'] = { status: 'ok', jobs: [PAUSED] };
    kernel.answers['lpf_cancel_request'] = { status: 'ok', job: PAUSED };
    expect(await cells.cancel('running')).toMatchObject({ ok: true });
    expect(kernel.asked.at(-1)).toEqual(['lpf_cancel_request', { job: 3 }]);
  });

  it('say so where no signal can be sent', async () => {
    status('busy', 'm3');
    kernel.ask = () => new Promise(() => undefined);
    kernel.canSignal = false;
    void cells.pause();
    await vi.advanceTimersByTimeAsync(3000);
    expect(cells.waitsFor).toContain('cannot be sent a signal');
  });

  it('carry the number of the job, and a limit only if there is one', async () => {
    const job = asJob(PAUSED)!;
    await cells.resume(job);
    await cells.resume(job, 2);
    expect(kernel.asked).toEqual([
      ['lpf_resume_request', { job: 3 }],
      ['lpf_resume_request', { job: 3, timeout: 2 }]
    ]);
  });

  it('have replies that may be older than what was published meanwhile', async () => {
    tell(PAUSED);
    const { ask } = kernel;
    kernel.ask = (type, content) => {
      tell(RUNNING);
      return ask.call(kernel, type, content);
    };
    kernel.answers['lpf_resume_request'] = {
      status: 'ok',
      job: { ...PAUSED, pending: 'resume' }
    };
    await cells.resume(asJob(PAUSED)!);
    expect(cells.jobOf('m3')?.state).toBe('running');
    kernel.answers['lpf_jobs_request'] = { status: 'ok', jobs: [PAUSED] };
    await cells.refresh();
    expect(cells.jobOf('m3')?.state).toBe('running');
  });

  it('look for the running job before they cancel it', async () => {
    kernel.answers['lpf_jobs_request'] = { status: 'ok', jobs: [RUNNING] };
    kernel.answers['lpf_cancel_request'] = { status: 'ok', job: RUNNING };
    expect(await cells.cancel('running')).toMatchObject({ ok: true });
    expect(kernel.asked.at(-1)).toEqual(['lpf_cancel_request', { job: 3 }]);
  });
});

describe('messages that make no sense', () => {
  it.each([null, 7, 'paused', [], {}, { id: 'a' }, { id: 1, state: 'sleeping' }, { id: 1.5 }])(
    'are dropped: %j',
    content => {
      tell(content);
      expect(cells.jobs).toEqual([]);
    }
  );

  it('lose their wrong fields', () => {
    expect(asJob({ id: 1, state: 'paused', where: 9, elapsed: 'x', limit: NaN })).toMatchObject({
      where: '',
      elapsed: 0,
      limit: null
    });
  });
});
