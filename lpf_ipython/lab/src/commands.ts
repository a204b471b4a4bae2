/** The commands, and what they act on: the kernel of the notebook that is in front. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, type ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import * as actions from './actions';
import { cellsOf } from './connection';
import { cancelIcon, pauseIcon, resumeIcon, waitIcon } from './icons';
import type { Cells, Target } from './model';
import type { Job } from './protocol';

export const CommandIDs = {
  pauseOrResume: 'lpf:pause-or-resume',
  pause: 'lpf:pause',
  resume: 'lpf:resume',
  resumeFor: 'lpf:resume-for',
  cancel: 'lpf:cancel',
  inspect: 'lpf:inspect',
  jobs: 'lpf:jobs',
  load: 'lpf:load'
} as const;

const NOTHING: Target = { pause: false, resume: null, cancel: null };

/** The notebook in front, as far as the commands are concerned. */
export class Front {
  constructor(private readonly tracker: INotebookTracker) {}

  get panel(): NotebookPanel | null {
    return this.tracker.currentWidget;
  }

  get cells(): Cells | null {
    const kernel = this.panel?.sessionContext.session?.kernel;
    return kernel ? cellsOf(kernel) : null;
  }

  get target(): Target {
    return this.cells?.target(this.panel?.content.activeCell?.model.id ?? null) ?? NOTHING;
  }

  /** Whether the kernel could be given lpf now. */
  get canLoad(): boolean {
    const kernel = this.panel?.sessionContext.session?.kernel;
    return kernel?.status === 'idle' && this.cells?.loaded === 'no';
  }
}

/** What the commands show. */
export interface Panels {
  inspect(cells: Cells, job: Job, title: string): void;
  jobs(): void;
}

export function addCommands(app: JupyterFrontEnd, front: Front, panels: Panels): void {
  const { commands } = app;
  const resumes = (): boolean => front.target.resume !== null;

  commands.addCommand(CommandIDs.pauseOrResume, {
    label: args => (args['toolbar'] ? '' : resumes() ? 'Resume Cell' : 'Pause Cell'),
    caption: () => captionOfPause(front),
    icon: () => (front.cells?.isPausing ? waitIcon : resumes() ? resumeIcon : pauseIcon),
    isEnabled: () =>
      front.canLoad || resumes() || (front.target.pause && front.cells?.loaded === 'yes'),
    isToggled: () => front.cells?.isPausing ?? false,
    execute: () => {
      const { cells, target } = front;
      if (cells === null || (target.resume === null && !target.pause)) {
        return load(front);
      }
      return target.resume ? actions.resume(cells, target.resume) : actions.pause(cells);
    },
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.pause, {
    label: 'Pause Running Cell',
    caption: 'Pause the cell that runs; the kernel is free meanwhile',
    icon: pauseIcon,
    isEnabled: () => front.cells?.loaded === 'yes' && front.cells.running.length > 0,
    execute: () => front.cells && actions.pause(front.cells),
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.resume, {
    label: 'Resume Paused Cell',
    caption: 'Let the paused cell go on where it stands',
    icon: resumeIcon,
    isEnabled: resumes,
    execute: () => withJob(front, actions.resume),
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.resumeFor, {
    label: 'Resume Paused Cell For…',
    caption: 'Let the paused cell go on for some time, then pause it again',
    isEnabled: resumes,
    execute: () => withJob(front, actions.resumeFor),
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.cancel, {
    label: args => (args['toolbar'] ? '' : 'Cancel Cell'),
    caption: () => captionOfCancel(front),
    icon: cancelIcon,
    isEnabled: () => front.target.cancel !== null && front.cells?.loaded === 'yes',
    execute: () => {
      const { cells, target } = front;
      return cells && target.cancel && actions.cancel(cells, target.cancel);
    },
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.inspect, {
    label: 'Inspect Paused Cell',
    caption: 'Show the stack of the paused cell and its variables',
    isEnabled: resumes,
    execute: () => {
      const { cells, target, panel } = front;
      if (cells && target.resume) {
        panels.inspect(cells, target.resume, panel?.title.label ?? '');
      }
    },
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.jobs, {
    label: 'Show Running and Paused Cells',
    caption: 'The cells of all kernels that have lpf',
    execute: () => panels.jobs(),
    describedBy: NO_ARGUMENTS
  });
  commands.addCommand(CommandIDs.load, {
    label: 'Load lpf in This Kernel',
    caption: 'Make the cells of this kernel ones that can be paused',
    isEnabled: () => front.canLoad,
    execute: () => front.cells?.load(),
    describedBy: NO_ARGUMENTS
  });
}

export function addToPalette(palette: ICommandPalette): void {
  for (const command of Object.values(CommandIDs)) {
    palette.addItem({ command, category: 'Notebook Cell Execution' });
  }
}

function withJob(
  front: Front,
  act: (cells: Cells, job: Job) => Promise<void>
): Promise<void> | undefined {
  const { cells, target } = front;
  return cells && target.resume ? act(cells, target.resume) : undefined;
}

const NO_ARGUMENTS = { args: { type: 'object', properties: {} } } as const;

function captionOfPause(front: Front): string {
  const { cells, target } = front;
  if (cells?.isPausing) {
    return cells.waitsFor || 'Pausing the cell…';
  }
  if (target.resume !== null) {
    return `Resume the cell that is paused at ${target.resume.where || 'its beginning'}`;
  }
  if (cells?.loaded !== 'yes' && cells?.loaded !== 'no') {
    return 'Pause: nothing is known of a kernel with lpf yet';
  }
  if (cells.loaded === 'no') {
    return 'Pause: lpf is not loaded in this kernel; load it';
  }
  return 'Pause the running cell';
}

function captionOfCancel(front: Front): string {
  const { cancel } = front.target;
  if (cancel === null || cancel === 'running') {
    return 'Cancel the running cell: end it, its cleanup runs';
  }
  return `Cancel the ${cancel.state} cell at ${cancel.where || 'its beginning'}: its cleanup runs`;
}

/** Offers to load lpf. */
async function load(front: Front): Promise<void> {
  const { cells, canLoad } = front;
  if (!canLoad) {
    return;
  }
  const answer = await showDialog({
    title: 'Load lpf in this kernel?',
    body: 'Cells that run from then on can be paused, inspected, resumed and cancelled.',
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Load' })]
  });
  if (answer.button.accept) {
    await cells?.load();
    if (cells?.loaded === 'no') {
      // Without an autoClose it would only go to the notification centre.
      Notification.warning('lpf could not be loaded: is lpf-ipython installed for this kernel?', {
        autoClose: 10_000
      });
    }
  }
}
