/**
 * Buttons for cells that can be paused, in JupyterLab and Notebook 7.
 *
 *     index ─> commands, marks ─> actions ─> model ─> protocol
 *                      └────> connection ──────┘
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import {
  INotebookTracker,
  type Notebook,
  NotebookActions,
  type NotebookPanel
} from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import { addCommands, addToPalette, CommandIDs, Front } from './commands';
import { cellsOf } from './connection';
import { Marks } from './marks';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-lpf:plugin',
  description: 'Pauses, resumes and cancels the cells of a notebook.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette],
  activate
};

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null
): void {
  addCommands(app, new Front(tracker));
  if (palette !== null) {
    addToPalette(palette);
  }

  const renew = (): void => {
    for (const id of Object.values(CommandIDs)) {
      app.commands.notifyCommandChanged(id);
    }
  };
  tracker.widgetAdded.connect((_, panel: NotebookPanel) => {
    const marks = new Marks(panel, {});
    const follow = (kernel: Kernel.IKernelConnection | null | undefined): void => {
      if (kernel) {
        cellsOf(kernel).changed.connect(renew);
        kernel.statusChanged.connect(renew);
      }
      marks.follow(kernel ? cellsOf(kernel) : null);
      renew();
    };
    panel.sessionContext.kernelChanged.connect((__, change) => follow(change.newValue));
    follow(panel.sessionContext.session?.kernel);
    const scheduled = (__: unknown, { notebook }: { notebook: Notebook }): void => {
      if (notebook === panel.content) {
        marks.renewSoon();
      }
    };
    NotebookActions.executionScheduled.connect(scheduled);
    panel.disposed.connect(() => NotebookActions.executionScheduled.disconnect(scheduled));
  });
  tracker.currentChanged.connect(renew);
  tracker.activeCellChanged.connect(renew);
}

export default plugin;
