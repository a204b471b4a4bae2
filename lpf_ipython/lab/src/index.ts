/**
 * Buttons for cells that can be paused, in JupyterLab and Notebook 7.
 *
 *     index ─> commands ─> connection ─> model ─> protocol
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import { addCommands, CommandIDs, Front } from './commands';
import { cellsOf } from './connection';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-lpf:plugin',
  description: 'Pauses, resumes and cancels the cells of a notebook.',
  autoStart: true,
  requires: [INotebookTracker],
  activate
};

function activate(app: JupyterFrontEnd, tracker: INotebookTracker): void {
  const front = new Front(tracker);
  addCommands(app, front);

  const renew = (): void => {
    for (const id of Object.values(CommandIDs)) {
      app.commands.notifyCommandChanged(id);
    }
  };
  const watch = (kernel: Kernel.IKernelConnection | null | undefined): void => {
    if (kernel) {
      cellsOf(kernel).changed.connect(renew);
      kernel.statusChanged.connect(renew);
    }
    renew();
  };
  tracker.widgetAdded.connect((_, panel: NotebookPanel) => {
    panel.sessionContext.kernelChanged.connect((__, change) => watch(change.newValue));
    watch(panel.sessionContext.session?.kernel);
  });
  tracker.currentChanged.connect(renew);
  tracker.activeCellChanged.connect(renew);
}

export default plugin;
