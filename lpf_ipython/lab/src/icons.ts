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
  `<path ${FILL} d="M8 3h8l5 5v8l-5 5H8l-5-5V8zm.8 2L5 8.8v6.4L8.8 19h6.4l3.8-3.8V8.8L15.200 5z"/>` +
    `<path ${FILL} d="M8.600 7.200 12 10.600l3.400-3.400 1.400 1.400L13.400 12l3.400 3.400-1.400 1.400L12 13.400l-3.400 3.400-1.400-1.400L10.600 12 7.200 8.600z"/>`
);

/** Turns, unless the system asks for less motion; see style/index.css. */
export const waitIcon = drawn(
  'lpf:wait',
  `<path ${FILL} class="jp-icon3 lpf-spinner" d="M12 3a9 9 0 1 1-9 9h3a6 6 0 1 0 6-6z"/>`.replace(
    'class="jp-icon3" ',
    ''
  )
);
