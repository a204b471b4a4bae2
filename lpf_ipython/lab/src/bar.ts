/** The bar in a cell that is paused or waits: what it does, and buttons for what can be done. */
import { Widget } from '@lumino/widgets';

export interface Button {
  readonly label: string;
  /** For the tooltip. */
  readonly title: string;
  /** Of a button that stays down: whether it is. */
  readonly pressed?: boolean;
  readonly act: () => void;
}

export class Bar extends Widget {
  constructor() {
    super();
    this.addClass('lpf-bar');
    this.node.setAttribute('role', 'group');
    // Enter and Space on a button press it; they are no commands of the notebook.
    this.node.dataset['lmSuppressShortcuts'] = 'true';
    this._text.className = 'lpf-bar-text';
    this._text.setAttribute('role', 'status');
    this._buttons.className = 'lpf-bar-buttons';
    this.node.append(this._text, this._buttons);
  }

  /** Shows a sentence and the buttons; those that are there already stay, with the focus. */
  update_(text: string, label: string, buttons: readonly Button[]): void {
    if (this._text.textContent !== text) {
      this._text.textContent = text;
    }
    this.node.setAttribute('aria-label', label);
    const labels = buttons.map(button => button.label).join('|');
    if (labels !== this._shown) {
      this._shown = labels;
      this._buttons.replaceChildren(...buttons.map((_, index) => this.button(index)));
    }
    this._current = buttons;
    for (const [index, { label, title, pressed }] of buttons.entries()) {
      const node = this._buttons.children[index] as HTMLButtonElement;
      node.textContent = label;
      node.title = title;
      if (pressed !== undefined) {
        node.setAttribute('aria-expanded', String(pressed));
      }
    }
  }

  /** Puts the focus on the last button. */
  focusLast(): void {
    (this._buttons.lastElementChild as HTMLElement | null)?.focus();
  }

  private button(index: number): HTMLButtonElement {
    const node = document.createElement('button');
    node.type = 'button';
    node.className = 'lpf-button';
    node.addEventListener('click', () => this._current[index]?.act());
    return node;
  }

  private readonly _text = document.createElement('span');
  private readonly _buttons = document.createElement('span');
  private _current: readonly Button[] = [];
  private _shown = '';
}
