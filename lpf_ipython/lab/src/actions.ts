/** What a click asks for: the request, and what its user is told when it was refused. */
import { InputDialog, Notification } from '@jupyterlab/apputils';

import { parse } from './durations';
import { goTo, type Notebooks } from './goto';
import type { Listed } from './kernels';
import type { Cells } from './model';
import type { Job, Reply } from './protocol';

export async function pause(cells: Cells): Promise<void> {
  const reply = await cells.pause();
  if (!cells.isPausing) {
    complain(reply);
  }
}

export async function resume(cells: Cells, job: Job): Promise<void> {
  complain(await cells.resume(job));
}

/** Asks for how long, and resumes the cell for that time. */
export async function resumeFor(cells: Cells, job: Job): Promise<void> {
  const answer = await InputDialog.getText({
    title: 'Resume for how long?',
    label: 'Then it is paused again: 500ms, 2s, 1m30s',
    text: lastSpan,
    okLabel: 'Resume'
  });
  if (!answer.button.accept) {
    return;
  }
  const seconds = parse(answer.value ?? '');
  if (seconds === null || seconds <= 0) {
    Notification.error(`“${answer.value ?? ''}” is no span of time`, { autoClose: 5000 });
    return;
  }
  lastSpan = answer.value ?? lastSpan;
  complain(await cells.resume(job, seconds));
}

export async function cancel(cells: Cells, job: Job | 'running'): Promise<void> {
  complain(await cells.cancel(job));
}

export async function withdraw(cells: Cells, msgId: string): Promise<void> {
  complain(await cells.withdraw(msgId));
}

/** Brings the cell of a job into sight, in its notebook. */
export async function go<Notebook>(
  notebooks: Notebooks<Notebook>,
  listed: Listed,
  job: Job
): Promise<void> {
  try {
    const problem = await goTo(notebooks, listed, job);
    if (problem !== null) {
      Notification.warning(problem, { autoClose: 5000 });
    }
  } catch (error) {
    Notification.error(`${listed.name} cannot be opened: ${String(error)}`, { autoClose: 5000 });
  }
}

let lastSpan = '2s';

function complain(reply: Reply): void {
  if (!reply.ok) {
    Notification.warning(reply.reason, { autoClose: 5000 });
  }
}
