import { LabIcon } from '@jupyterlab/ui-components';

function drawn(name: string, shape: string): LabIcon {
  const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">${shape}</svg>`;
  return new LabIcon({ name, svgstr });
}

const FILL = 'class="jp-icon3" fill="#616161"';

export const pauseIcon = drawn(
  'lpf:pause',
  `<path ${FILL} d="M6 5h4v14H6zM14 5h4v14h-4z"/>`
);

export const resumeIcon = drawn(
  'lpf:resume',
  `<path ${FILL} d="M5 5h3v14H5zM10 5v14l11-7z"/>`
);

export const cancelIcon = drawn(
  'lpf:cancel',
  `<path ${FILL} d="M8 3h8l5 5v8l-5 5H8l-5-5V8zm.8 2L5 8.8v6.4L8.8 19h6.4l3.8-3.8V8.8L15.2 5z"/>` +
    `<path ${FILL} d="M8.6 7.2 12 10.6l3.4-3.4 1.4 1.4L13.4 12l3.4 3.4-1.4 1.4L12 13.4l-3.4 3.4-1.4-1.4L10.6 12 7.2 8.6z"/>`
);

/** Turns, unless the system asks for less motion; see style/index.css. */
export const waitIcon = drawn(
  'lpf:wait',
  '<path class="jp-icon3 lpf-spinner" fill="#616161" d="M12 3a9 9 0 1 1-9 9h3a6 6 0 1 0 6-6z"/>'
);

/** Sheets upon each other, for the panel with the stack. */
export const stackIcon = drawn(
  'lpf:stack',
  `<path ${FILL} d="M12 3 2 8l10 5 10-5zM4.2 11.6 2 12.7l10 5 10-5-2.2-1.1L12 15.5zM4.2 16.1 2 17.2l10 5 10-5-2.2-1.1L12 20z"/>`
);

/** A list with a pause sign, for the panel with all cells. */
export const jobsIcon = drawn(
  'lpf:jobs',
  `<path ${FILL} d="M3 4h3v7H3zM8 4h3v7H8zM13 5h8v2h-8zM13 8h8v2h-8zM3 14h18v2H3zM3 18h18v2H3z"/>`
);
