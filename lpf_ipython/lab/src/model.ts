/**
 * The cells of one kernel: which run, which are paused, and what can be asked of them.
 *
 * Knows nothing of JupyterLab's widgets. What the kernel publishes is fed to `handle`; requests go
 * out by a `Channel`.
 */
import { type ISignal, Signal } from '@lumino/signaling';

import {
  asJob,
  asJobs,
  asReply,
  type Fields,
  hasEnded,
  isFields,
  type Job,
  type Reply,
  STATE,
  text
} from './protocol';

/** The way to the kernel. */
export interface Channel {
  /** Sends a request on the control channel. Null when the kernel knows no such request. */
  ask(type: string, content: Fields): Promise<unknown>;
  /** Loads lpf in the kernel, with a request of its own that shows nowhere. */
  load(): Promise<void>;
  /** Asks for a pause past the control channel, by a signal. False where that cannot be. */
  signal(): Promise<boolean>;
}

/** What is used of an iopub message. */
export interface Published {
  readonly type: string;
  /** Of the message that it is a consequence of. */
  readonly parentId: string;
  readonly parentType: string;
  readonly content: unknown;
}

/** Whether lpf is in the kernel; unknown until it was asked. */
export type Loaded = 'unknown' | 'yes' | 'no';

/** What the buttons would act on now. */
export interface Target {
  readonly pause: boolean;
  readonly resume: Job | null;
  /** A job, or the running cell, whose number is not known. */
  readonly cancel: Job | 'running' | null;
}

/** Milliseconds: a cell that is over sooner is not asked about. */
const SETTLED = 200;
/** Milliseconds: the kernel answers a pause sooner, if its control thread runs at all. */
const UNHEARD = 1500;
/** Milliseconds: a kernel that has nothing else to do says sooner that a cell runs, if it can say anything. */
const SAID = 1000;
/** Seconds: a pause that takes longer is told what it waits for. */
const SOON = 1;

type Timer = ReturnType<typeof setTimeout>;

export class Cells {
  constructor(private readonly channel: Channel) {}

  /** Emitted after every change of what can be read here. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get loaded(): Loaded {
    return this._loaded;
  }

  /** All jobs that are known, by number. */
  get jobs(): Job[] {
    return [...this._jobs.values()].sort((a, b) => a.id - b.id);
  }

  /** Paused jobs, the one that was paused last at the end. */
  get paused(): Job[] {
    return [...this._jobs.values()].filter(job => job.state === 'paused');
  }

  /** The ids of the execute requests that run. */
  get running(): string[] {
    return [...this._running.keys()];
  }

  /** Whether a pause was asked for and has not come. */
  get isPausing(): boolean {
    return this._pausing;
  }

  /** What that pause waits for, once it takes longer than usual; else "". */
  get waitsFor(): string {
    return this._waitsFor;
  }

  /** When the job was last heard of, in milliseconds of the clock of `Date.now`. */
  heardOf(job: Job): number {
    return this._heard.get(job.id) ?? Date.now();
  }

  /** The job of an execute request; of the latest if the kernel has counted anew. */
  jobOf(msgId: string): Job | null {
    return this.jobs.find(job => job.msgId === msgId) ?? null;
  }

  /** The job of a cell that has not ended, whoever sent it: also from before a page was loaded. */
  openJobOf(cellId: string): Job | null {
    return this.jobs.find(job => job.cellId === cellId && !hasEnded(job)) ?? null;
  }

  /** When a request has begun to run, by our clock; null when it does not run. */
  runsSince(msgId: string): number | null {
    return this._running.get(msgId) ?? null;
  }

  /** What the buttons act on: the job of the active cell if it has one, else the obvious one. */
  target(activeCell: string | null): Target {
    const active = activeCell === null ? null : this.openJobOf(activeCell);
    const busy = this._running.size > 0;
    const latest = this.paused.at(-1) ?? null;
    const resume = active?.state === 'paused' ? active : busy ? null : latest;
    return {
      pause: busy && resume === null,
      resume,
      cancel: active ?? (busy ? 'running' : latest)
    };
  }

  /** Asks the kernel for all of its jobs. */
  async refresh(): Promise<void> {
    const before = this._published;
    const answer = await this.channel.ask('lpf_jobs_request', {});
    if (this._disposed) {
      return;
    }
    const reply = answer === null ? null : asReply(answer);
    this._loaded = reply === null ? 'no' : 'yes';
    if (reply?.ok) {
      const jobs = asJobs(reply.content['jobs']);
      const known = new Set(jobs.map(job => job.id));
      for (const id of this._jobs.keys()) {
        if (!known.has(id)) {
          this._jobs.delete(id);
        }
      }
      this.noteUnlessNewer(before, ...jobs);
    }
    this.emit();
  }

  /** Takes note of an iopub message. */
  handle(message: Published): void {
    if (message.type === STATE) {
      this.noteState(message);
    } else if (message.type === 'status' && message.parentType === 'execute_request') {
      this.noteStatus(message);
    } else if (message.type === 'status' && message.parentId === '') {
      this.noteFree(message);
    } else if (message.type === 'execute_input' && mentionsUs(message.content)) {
      this._asksAfter.add(message.parentId);
    }
  }

  /** Takes note of an execute request that was sent from here. */
  sent(msgId: string): void {
    this._sent.add(msgId);
    this.later(() => this.presume(), SAID);
  }

  /** Takes note of the reply to one. */
  answered(msgId: string): void {
    this._sent.delete(msgId);
    for (const [waiting, paused] of this._behind) {
      if (paused === msgId) {
        this._behind.delete(waiting);
      }
    }
    this.later(() => this.presume(), SAID);
  }

  /** Replies may have been lost. */
  forgetSent(): void {
    this._sent.clear();
    this._behind.clear();
  }

  /** The kernel is a new one, or gone: nothing that was known is so any more. */
  forget(): void {
    this._jobs.clear();
    this._running.clear();
    this._heard.clear();
    this._publishedAt.clear();
    this.forgetSent();
    this._loaded = 'unknown';
    this.endPause();
    this.emit();
  }

  async load(): Promise<void> {
    await this.channel.load();
    await this.refresh();
  }

  /** Pauses the running cell. The reply may be a refusal that says that it takes longer. */
  async pause(): Promise<Reply> {
    this._pausing = true;
    this.emit();
    let signalled = false;
    const unheard = this.later(() => {
      signalled = true;
      void this.signal();
    }, UNHEARD);
    const reply = await this.request('lpf_pause_request', { within: SOON });
    this.forgetTimer(unheard);
    if (!this._pausing) {
      // Paused by the signal, or over, before the request was heard: nothing to complain about.
      return { ok: true, content: reply.content };
    }
    if (!reply.ok && this._running.size > 0 && reply.content['job']) {
      this._waitsFor = reply.reason;
    } else {
      this.endPause();
    }
    this.emit();
    // After the signal, there was nothing left to pause; that is yet to be published.
    return signalled ? { ok: true, content: reply.content } : reply;
  }

  /** Lets a paused cell go on, for so many seconds or without a limit. */
  async resume(job: Job, timeout: number | null = null): Promise<Reply> {
    return this.request('lpf_resume_request', {
      job: job.id,
      ...(timeout === null ? {} : { timeout })
    });
  }

  /** Ends a cell, paused or running. */
  async cancel(job: Job | 'running'): Promise<Reply> {
    if (job !== 'running') {
      return this.request('lpf_cancel_request', { job: job.id });
    }
    const meant = this.running.at(-1);
    await this.refresh();
    const running =
      this.jobs.filter(each => each.state === 'running').at(-1) ??
      // A kernel that could not answer before may have paused it meanwhile.
      this.paused.find(each => each.msgId === meant);
    if (running === undefined) {
      return { ok: false, reason: 'no cell is running', content: {} };
    }
    return this.request('lpf_cancel_request', { job: running.id });
  }

  /** Takes a cell that waits out of the queue. */
  async withdraw(msgId: string): Promise<Reply> {
    return this.request('lpf_withdraw_request', { msg_id: msgId });
  }

  dispose(): void {
    this._disposed = true;
    for (const timer of this._timers) {
      clearTimeout(timer);
    }
    Signal.clearData(this);
  }

  /** Sends any of the requests. The job in its reply is taken note of. */
  async request(type: string, content: Fields): Promise<Reply> {
    const before = this._published;
    const answer = await this.channel.ask(type, content);
    const reply: Reply =
      answer === null
        ? { ok: false, reason: 'lpf is not loaded in this kernel', content: {} }
        : asReply(answer);
    const job = asJob(reply.content['job']);
    if (job !== null && !this._disposed) {
      this.noteUnlessNewer(before, job);
      this.emit();
    }
    return reply;
  }

  private async signal(): Promise<void> {
    const sent = await this.channel.signal();
    if (this._pausing && !this._disposed) {
      this._waitsFor = sent
        ? 'The kernel does not answer: C code lets nothing else run. It was sent a signal.'
        : 'The kernel does not answer, and cannot be sent a signal.';
      this.emit();
    }
  }

  private noteState(message: Published): void {
    const job = asJob(message.content);
    if (job === null) {
      return;
    }
    this._loaded = 'yes';
    this._published += 1;
    this._publishedAt.set(job.id, this._published);
    this.note(job);
    if (job.state === 'running' && job.msgId !== null) {
      this.begin(job.msgId);
    } else {
      this.end(job.msgId);
    }
    if (job.state === 'paused' && job.msgId !== null) {
      this.noteBehind(job.msgId);
    }
    this.emit();
  }

  /** What was sent before a cell is paused waits for it; what is sent later does not. */
  private noteBehind(paused: string): void {
    for (const msgId of this._sent) {
      if (msgId !== paused && this.jobOf(msgId) === null) {
        this._behind.set(msgId, paused);
      }
    }
  }

  /**
   * C code that takes the interpreter for itself at once keeps the kernel from saying that its cell
   * has begun. The first of those that wait for nothing else does run, then.
   */
  private presume(): void {
    if (this._loaded !== 'yes' || this._running.size > 0) {
      return;
    }
    for (const msgId of this._sent) {
      if (!this._behind.has(msgId) && this.jobOf(msgId)?.state !== 'paused') {
        this.begin(msgId);
        this.emit();
        return;
      }
    }
  }

  private noteStatus(message: Published): void {
    const state = executionState(message);
    if (state === 'busy') {
      this.begin(message.parentId);
      this.later(() => this.settle(message.parentId), SETTLED);
    } else if (state === 'idle') {
      this.end(message.parentId);
      if (this._asksAfter.delete(message.parentId) || this.isStale(message.parentId)) {
        void this.refresh();
      }
    }
    this.emit();
  }

  /** An idle without a parent: what was begun last is paused, or has to wait its turn. */
  private noteFree(message: Published): void {
    const latest = [...this._running.keys()].at(-1);
    if (executionState(message) === 'idle' && latest !== undefined) {
      this.end(latest);
      this.emit();
    }
  }

  /** A cell's end is only published if it was touched; the others are asked for. */
  private isStale(msgId: string): boolean {
    return this.jobOf(msgId)?.state === 'running';
  }

  private settle(msgId: string): void {
    if (this._loaded === 'yes' && this._running.has(msgId) && this.jobOf(msgId) === null) {
      void this.refresh();
    }
  }

  /**
   * Replies come by another way than what is published, and may be overtaken by it: what was
   * published after a request was sent is newer than what is in its reply.
   */
  private noteUnlessNewer(before: number, ...jobs: Job[]): void {
    for (const job of jobs) {
      if ((this._publishedAt.get(job.id) ?? 0) <= before) {
        this.note(job);
      }
    }
  }

  private note(job: Job): void {
    this._jobs.delete(job.id); // The one that was heard of last comes last.
    this._jobs.set(job.id, job);
    this._heard.set(job.id, Date.now());
    if (job.state === 'running' && job.msgId !== null) {
      this.begin(job.msgId);
    }
  }

  private begin(msgId: string): void {
    if (!this._running.has(msgId)) {
      this._running.set(msgId, Date.now());
    }
  }

  private end(msgId: string | null): void {
    if (msgId !== null && this._running.delete(msgId)) {
      this.endPause();
    }
  }

  private endPause(): void {
    this._pausing = false;
    this._waitsFor = '';
  }

  private later(act: () => void, milliseconds: number): Timer {
    const timer = setTimeout(() => {
      this._timers.delete(timer);
      act();
    }, milliseconds);
    this._timers.add(timer);
    return timer;
  }

  private forgetTimer(timer: Timer): void {
    clearTimeout(timer);
    this._timers.delete(timer);
  }

  private emit(): void {
    if (!this._disposed) {
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _jobs = new Map<number, Job>();
  private readonly _heard = new Map<number, number>();
  /** Counts the published states; of each job, the count at its latest. */
  private _published = 0;
  private readonly _publishedAt = new Map<number, number>();
  private readonly _running = new Map<string, number>();
  private readonly _asksAfter = new Set<string>();
  /** The execute requests from here that have no reply yet, in order. */
  private readonly _sent = new Set<string>();
  /** Of those that wait for a paused one: which. */
  private readonly _behind = new Map<string, string>();
  private readonly _timers = new Set<Timer>();
  private _loaded: Loaded = 'unknown';
  private _pausing = false;
  private _waitsFor = '';
  private _disposed = false;
}

function executionState(message: Published): unknown {
  return isFields(message.content) ? message.content['execution_state'] : null;
}

/** Whether a cell may load or unload lpf. */
function mentionsUs(content: unknown): boolean {
  const code = isFields(content) ? text(content['code']) : null;
  return code !== null && /\blpf/.test(code);
}
