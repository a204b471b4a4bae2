/**
 * The cells of all kernels of the server, for the panel that lists them. Kernels of open notebooks
 * are followed over the notebook's connection, others over one that lives as long as it is needed.
 */
import type { Kernel, ServiceManager, Session } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';

import { cellsOf } from './connection';
import type { Cells } from './model';

/** A kernel, and the notebook or console that it belongs to. */
export interface Listed {
  readonly id: string;
  readonly name: string;
  /** Where its notebook is, null if it is none of a notebook. */
  readonly notebook: string | null;
  readonly cells: Cells;
}

export class AllKernels {
  constructor(
    private readonly services: ServiceManager.IManager,
    /** The connection of an open notebook to a kernel. */
    private readonly connected: (id: string) => Kernel.IKernelConnection | null
  ) {}

  /** Emitted when a kernel has come or gone, or one of their cells has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get listed(): Listed[] {
    return [...this._connections].map(([id, kernel]) => {
      const session = this.sessionOf(id);
      return {
        id,
        name: session?.path || session?.name || kernel.name,
        notebook: session?.type === 'notebook' ? session.path : null,
        cells: cellsOf(kernel)
      };
    });
  }

  /** Follows the kernels from now on. */
  start(): void {
    this._active = true;
    this.services.kernels.runningChanged.connect(this.renew, this);
    this.services.sessions.runningChanged.connect(this.emit, this);
    this.renew();
  }

  /** Gives up the connections that are its own. */
  stop(): void {
    this._active = false;
    this.services.kernels.runningChanged.disconnect(this.renew, this);
    this.services.sessions.runningChanged.disconnect(this.emit, this);
    for (const id of [...this._connections.keys()]) {
      this.leave(id);
    }
  }

  /** Looks which kernels there are. */
  renew(): void {
    if (!this._active) {
      return;
    }
    const models = [...this.services.kernels.running()];
    const running = new Set(models.map(model => model.id));
    for (const [id, kernel] of [...this._connections]) {
      const better = this._own.has(id) ? this.connected(id) : null;
      if (!running.has(id) || kernel.isDisposed || better !== null) {
        this.leave(id);
      }
    }
    for (const model of models) {
      if (!this._connections.has(model.id)) {
        this.join(model);
      }
    }
    this.emit();
  }

  private join(model: Kernel.IModel): void {
    let kernel = this.connected(model.id);
    if (kernel === null) {
      kernel = this.services.kernels.connectTo({ model, handleComms: false });
      this._own.add(model.id);
    }
    this._connections.set(model.id, kernel);
    cellsOf(kernel).changed.connect(this.emit, this);
  }

  private leave(id: string): void {
    const kernel = this._connections.get(id);
    this._connections.delete(id);
    if (kernel !== undefined && !kernel.isDisposed) {
      cellsOf(kernel).changed.disconnect(this.emit, this);
      if (this._own.has(id)) {
        kernel.dispose();
      }
    }
    this._own.delete(id);
  }

  private sessionOf(id: string): Session.IModel | null {
    for (const session of this.services.sessions.running()) {
      if (session.kernel?.id === id) {
        return session;
      }
    }
    return null;
  }

  private emit(): void {
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _connections = new Map<string, Kernel.IKernelConnection>();
  private readonly _own = new Set<string>();
  private _active = false;
}
