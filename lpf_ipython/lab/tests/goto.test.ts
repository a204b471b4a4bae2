import { describe, expect, it } from 'vitest';

import { canGo, goTo, type Notebooks } from '../src/goto';
import type { Listed } from '../src/kernels';
import { asJob, type Job } from '../src/protocol';

/** Notebooks that are lists of cells, and what was done with them. */
class Front implements Notebooks<string> {
  readonly done: unknown[] = [];
  cellsOf: Record<string, string[]> = { 'a.ipynb': ['c1', 'c2'] };
  open_: Record<string, string> = {};

  find(kernel: string): string | null {
    return this.open_[kernel] ?? null;
  }

  open(path: string): Promise<string | null> {
    this.done.push(['open', path]);
    return Promise.resolve(path in this.cellsOf ? path : null);
  }

  cells(notebook: string): Promise<readonly string[]> {
    return Promise.resolve(this.cellsOf[notebook] ?? []);
  }

  show(notebook: string, index: number | null): Promise<void> {
    this.done.push(['show', notebook, index]);
    return Promise.resolve();
  }
}

function listed(notebook: string | null): Listed {
  return { id: 'k', name: 'a', notebook, cells: null as unknown as Listed['cells'] };
}

function job(cell: string | null): Job {
  return asJob({ id: 1, state: 'paused', cell_id: cell })!;
}

describe('the cell of a job', () => {
  it('is shown in the notebook that is open', async () => {
    const front = new Front();
    front.open_ = { k: 'a.ipynb' };
    expect(await goTo(front, listed('elsewhere.ipynb'), job('c2'))).toBeNull();
    expect(front.done).toEqual([['show', 'a.ipynb', 1]]);
  });

  it('is shown in its notebook, which is opened', async () => {
    const front = new Front();
    expect(await goTo(front, listed('a.ipynb'), job('c1'))).toBeNull();
    expect(front.done).toEqual([
      ['open', 'a.ipynb'],
      ['show', 'a.ipynb', 0]
    ]);
  });

  it.each([job('gone'), job(null)])('is told to be missing if it is', async missing => {
    const front = new Front();
    expect(await goTo(front, listed('a.ipynb'), missing)).toContain('not in the notebook');
    expect(front.done).toContainEqual(['show', 'a.ipynb', null]);
  });

  it('is left to another tab of the browser', async () => {
    const front = new Front();
    expect(await goTo(front, listed('b.ipynb'), job('c1'))).toBeNull();
    expect(front.done).toEqual([['open', 'b.ipynb']]);
  });

  it('is not to be had without a notebook', async () => {
    const front = new Front();
    expect([canGo(listed(null)), canGo(listed('a.ipynb'))]).toEqual([false, true]);
    expect(await goTo(front, listed(null), job('c1'))).toBeNull();
    expect(front.done).toEqual([]);
  });
});
