/**
 * Buttons for cells that can be paused, in JupyterLab and Notebook 7.
 *
 *     index ─> commands, marks, adopt ───> actions ──> model ─> protocol
 *      │  └──> inspector ─> values ─────────┤            │        (marks shows one in the cell, too)
 *      ├─────> jobs ─> kernels ─> connection ────────────┘
 *      └─────> notebooks ─> goto
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, type Notebook, NotebookActions } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import * as actions from './actions';
import { Adoption } from './adopt';
import { addCommands, addToPalette, CommandIDs, Front } from './commands';
import { cellsOf } from './connection';
import { jobsIcon, stackIcon } from './icons';
import { Inspector } from './inspector';
import { JobsPanel } from './jobs';
import { AllKernels, type Listed } from './kernels';
import { Marks } from './marks';
import type { Cells } from './model';
import { kernelOf, OpenNotebooks } from './notebooks';
import type { Job } from './protocol';

const ID = 'jupyterlab-lpf:plugin';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Pauses, inspects, resumes and cancels the cells of a notebook.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ISettingRegistry],
  activate
};

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null,
  registry: ISettingRegistry | null
): void {
  const panels = addPanels(app, tracker);
  addCommands(app, new Front(tracker), panels);
  if (palette !== null) {
    addToPalette(palette);
  }
  const loader = new Loader();
  void registry?.load(ID).then(settings => {
    const read = (): void => loader.set(settings.get('loadByItself').composite === true);
    settings.changed.connect(read);
    read();
  });

  const renew = (): void => {
    for (const id of Object.values(CommandIDs)) {
      app.commands.notifyCommandChanged(id);
    }
  };
  tracker.widgetAdded.connect((_, panel) => {
    const inspect = (job: Job): void => {
      const kernel = kernelOf(panel);
      if (kernel) {
        panels.inspect(cellsOf(kernel), job, panel.title.label);
      }
    };
    const marks = new Marks(panel, inspect);
    const adoption = new Adoption(panel);
    const follow = (kernel: Kernel.IKernelConnection | null | undefined): void => {
      const cells = kernel ? cellsOf(kernel) : null;
      if (kernel && cells) {
        cells.changed.connect(renew);
        kernel.statusChanged.connect(renew);
        loader.follow(kernel, cells);
      }
      marks.follow(cells);
      adoption.follow(kernel ?? null, cells);
      renew();
    };
    panel.sessionContext.kernelChanged.connect((__, change) => follow(change.newValue));
    // The cells come after the notebook has been read.
    void panel.context.ready.then(() => follow(kernelOf(panel)));
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

function addPanels(
  app: JupyterFrontEnd,
  tracker: INotebookTracker
): { inspect(cells: Cells, job: Job, title: string): void; jobs(): void } {
  const notebooks = new OpenNotebooks(app, tracker);
  const connected = (id: string): Kernel.IKernelConnection | null => {
    const panel = notebooks.find(id);
    return panel && kernelOf(panel);
  };
  const inspector = new Inspector();
  inspector.id = 'lpf-inspector';
  inspector.title.caption = 'Paused cell';
  inspector.title.icon = stackIcon;
  const inspect = (cells: Cells, job: Job, title: string): void => {
    inspector.look(cells, job, title);
    app.shell.activateById(inspector.id);
  };
  const go = (listed: Listed, job: Job): Promise<void> => actions.go(notebooks, listed, job);
  const jobs = new JobsPanel(new AllKernels(app.serviceManager, connected), inspect, go);
  jobs.id = 'lpf-jobs';
  jobs.title.caption = 'Running and paused cells';
  jobs.title.icon = jobsIcon;
  app.shell.add(inspector, 'right', { rank: 900, type: 'Paused Cell' });
  // Running Terminals and Kernels has rank 200.
  app.shell.add(jobs, 'left', { rank: 210, type: 'Running and Paused Cells' });
  return { inspect, jobs: () => app.shell.activateById(jobs.id) };
}

/** Loads lpf in kernels that have it not, if its user has set that. */
class Loader {
  /** Whether it is to be done, from now on and in the kernels that are there. */
  set(active: boolean): void {
    this._active = active;
    for (const load of this._followed) {
      load();
    }
  }

  follow(kernel: Kernel.IKernelConnection, cells: Cells): void {
    let tried = false;
    const load = (): void => {
      if (cells.loaded === 'unknown') {
        tried = false; // It starts, or starts anew.
      } else if (this._active && cells.loaded === 'no' && !tried && !kernel.isDisposed) {
        tried = true;
        void cells.load();
      }
    };
    cells.changed.connect(load);
    this._followed.add(load);
    kernel.disposed.connect(() => this._followed.delete(load));
    load();
  }

  private _active = false;
  private readonly _followed = new Set<() => void>();
}

export default plugin;
