/**
 * Output of cells that were sent before the page was loaded, or from another window: JupyterLab
 * drops it, for it knows only of requests of its own. The job of such a cell names the cell.
 */
import type { CodeCell, ICodeCellModel } from '@jupyterlab/cells';
import type * as nbformat from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { type Kernel, KernelMessage } from '@jupyterlab/services';

import type { Cells } from './model';
import { hasEnded, type Job } from './protocol';

export class Adoption {
  constructor(private readonly panel: NotebookPanel) {
    panel.disposed.connect(() => this.follow(null, null));
    // A cell that is moved, or put back, no longer waits for its request.
    void panel.context.ready.then(() => {
      panel.content.model?.cells.changed.connect(() => setTimeout(() => this.renew(), 0));
    });
  }

  follow(kernel: Kernel.IKernelConnection | null, cells: Cells | null): void {
    this._kernel?.iopubMessage.disconnect(this.show, this);
    this._cells?.changed.disconnect(this.renew, this);
    this._kernel = kernel;
    this._cells = cells;
    this._adopted.clear();
    kernel?.iopubMessage.connect(this.show, this);
    cells?.changed.connect(this.renew, this);
    this.renew();
  }

  /** Adopts the cells of jobs that nobody here waits for, and lets go of those that are over. */
  private renew(): void {
    if (this.panel.isDisposed) {
      return;
    }
    for (const job of this._cells?.jobs ?? []) {
      const cell = this.cellOf(job);
      if (cell === null || job.msgId === null) {
        continue;
      }
      if (!hasEnded(job) && this._adopted.get(job.msgId) !== cell.model) {
        this.adopt(job.msgId, cell);
      } else if (hasEnded(job) && this._adopted.delete(job.msgId)) {
        cell.model.executionCount = job.executionCount;
        cell.setPrompt(job.executionCount === null ? '' : String(job.executionCount));
      }
    }
  }

  private adopt(msgId: string, cell: CodeCell): void {
    this._adopted.set(msgId, cell.model);
    cell.setPrompt('*');
    // One that was not drawn yet forgets it then.
    void cell.ready.then(() => {
      if (this._adopted.get(msgId) === cell.model && !cell.isDisposed) {
        cell.setPrompt('*');
      }
    });
  }

  /** The cell of a job, unless it was run from this window. */
  private cellOf(job: Job): CodeCell | null {
    for (const cell of this.panel.content.widgets) {
      if (cell.model.type === 'code' && cell.model.id === job.cellId) {
        const code = cell as CodeCell;
        const future = code.outputArea.future as typeof code.outputArea.future | null | undefined;
        return future ? null : code;
      }
    }
    return null;
  }

  private show(_: unknown, message: KernelMessage.IIOPubMessage): void {
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    const model = this._adopted.get(parent.msg_id ?? '');
    if (model === undefined || model.isDisposed || this.panel.context.model.collaborative) {
      return; // In a shared document the window that has sent the cell adds its output.
    }
    if (KernelMessage.isClearOutputMsg(message)) {
      model.outputs.clear(message.content.wait);
    } else {
      const output = outputOf(message);
      if (output !== null) {
        model.outputs.add(output);
      }
    }
  }

  private _kernel: Kernel.IKernelConnection | null = null;
  private _cells: Cells | null = null;
  /** By the id of the execute request. */
  private readonly _adopted = new Map<string, ICodeCellModel>();
}

function outputOf(message: KernelMessage.IIOPubMessage): nbformat.IOutput | null {
  const { msg_type: kind } = message.header;
  switch (kind) {
    case 'stream':
    case 'display_data':
    case 'execute_result':
    case 'error': {
      const { transient: _, ...content } = message.content as Record<string, unknown>;
      return { ...content, output_type: kind } as nbformat.IOutput;
    }
    default:
      return null;
  }
}
