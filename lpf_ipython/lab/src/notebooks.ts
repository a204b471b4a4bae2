/** The notebooks that are open in this front end, and how others are opened. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import type { Notebooks } from './goto';

export function kernelOf(panel: NotebookPanel): Kernel.IKernelConnection | null {
  return panel.sessionContext.session?.kernel ?? null;
}

export class OpenNotebooks implements Notebooks<NotebookPanel> {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly tracker: INotebookTracker
  ) {}

  find(kernel: string): NotebookPanel | null {
    return this.tracker.find(panel => kernelOf(panel)?.id === kernel) ?? null;
  }

  async open(path: string): Promise<NotebookPanel | null> {
    const opened: unknown = await this.app.commands.execute('docmanager:open', {
      path,
      factory: 'Notebook'
    });
    return this.tracker.find(panel => panel === opened) ?? null;
  }

  async cells(panel: NotebookPanel): Promise<readonly string[]> {
    await panel.context.ready;
    return panel.content.widgets.map(cell => cell.model.id);
  }

  async show(panel: NotebookPanel, index: number | null): Promise<void> {
    this.app.shell.activateById(panel.id);
    await panel.revealed;
    const notebook = panel.content;
    const cell = index === null ? undefined : notebook.widgets[index];
    if (index !== null && cell) {
      notebook.deselectAll();
      notebook.activeCellIndex = index;
      notebook.mode = 'command';
      await notebook.scrollToCell(cell, 'smart');
    }
  }
}
