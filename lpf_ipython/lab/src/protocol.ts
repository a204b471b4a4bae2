/**
 * What the kernel says about its cells: the messages of lpf_ipython/messages.py.
 *
 * All of it comes from a program that is not trusted; what has not the form it should have is
 * dropped here, and what is shown is only ever set as text.
 */

export type State =
  | 'running'
  | 'paused'
  | 'finished'
  | 'failed'
  | 'cancelled'
  | 'abandoned';

export const STATE = 'lpf_state';

/** One cell. Durations are in seconds. */
export interface Job {
  readonly id: number;
  readonly state: State;
  readonly msgId: string | null;
  readonly cellId: string | null;
  readonly executionCount: number | null;
  /** "line 3 in <cell 5>", or "". */
  readonly where: string;
  readonly elapsed: number;
  readonly cpuTime: number;
  readonly limit: number | null;
  /** Why it is paused. */
  readonly reason: string | null;
  /** What it was asked to do and has not done yet. */
  readonly pending: string | null;
}

/** The content of a reply; the reason is set when the kernel refused. */
export type Reply =
  | { readonly ok: true; readonly content: Fields }
  | { readonly ok: false; readonly reason: string; readonly content: Fields };

export type Fields = Readonly<Record<string, unknown>>;

const STATES: ReadonlySet<string> = new Set([
  'running',
  'paused',
  'finished',
  'failed',
  'cancelled',
  'abandoned'
]);

/** Whether a job is over, in whatever way. */
export function hasEnded(job: Job): boolean {
  return job.state !== 'running' && job.state !== 'paused';
}

/** The job in a message, null if it is none. */
export function asJob(value: unknown): Job | null {
  if (!isFields(value)) {
    return null;
  }
  const { id, state } = value;
  if (typeof id !== 'number' || !Number.isInteger(id) || !isState(state)) {
    return null;
  }
  return {
    id,
    state,
    msgId: text(value['msg_id']),
    cellId: text(value['cell_id']),
    executionCount: number(value['execution_count']),
    where: text(value['where']) ?? '',
    elapsed: number(value['elapsed']) ?? 0,
    cpuTime: number(value['cpu_time']) ?? 0,
    limit: number(value['limit']),
    reason: text(value['reason']),
    pending: text(value['pending'])
  };
}

export function asJobs(value: unknown): Job[] {
  const jobs = Array.isArray(value) ? value.map(asJob) : [];
  return jobs.filter(job => job !== null);
}

export function asReply(content: unknown): Reply {
  const fields = isFields(content) ? content : {};
  if (fields['status'] === 'ok') {
    return { ok: true, content: fields };
  }
  const reason = text(fields['evalue']) ?? 'the kernel has refused';
  return { ok: false, reason, content: fields };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function isState(value: unknown): value is State {
  return typeof value === 'string' && STATES.has(value);
}
