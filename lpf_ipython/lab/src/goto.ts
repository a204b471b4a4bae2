/** Goes to the cell of a job: its notebook is opened, if need be, and the cell brought into sight. */
import type { Listed } from './kernels';
import type { Job } from './protocol';

/** What is asked of the notebooks of the front end. */
export interface Notebooks<Notebook> {
  /** The open notebook of a kernel. */
  find(kernel: string): Notebook | null;
  /** Opens one; null if that is somewhere else, in another tab of the browser, say. */
  open(path: string): Promise<Notebook | null>;
  /** The ids of its cells, when it has been read. */
  cells(notebook: Notebook): Promise<readonly string[]>;
  /** Makes it the one in front, and the cell with this index the active one, in sight. */
  show(notebook: Notebook, index: number | null): Promise<void>;
}

/** Whether there is a cell to go to, as far as is known. */
export function canGo({ notebook }: Listed): boolean {
  return notebook !== null;
}

/** Returns what is to be told if the cell is not there, else null. */
export async function goTo<Notebook>(
  notebooks: Notebooks<Notebook>,
  { id, notebook: path }: Listed,
  job: Job
): Promise<string | null> {
  const notebook = notebooks.find(id) ?? (path === null ? null : await notebooks.open(path));
  if (notebook === null) {
    return null;
  }
  const index = job.cellId === null ? -1 : (await notebooks.cells(notebook)).indexOf(job.cellId);
  await notebooks.show(notebook, index < 0 ? null : index);
  return index < 0 ? 'The cell is not in the notebook any more.' : null;
}
