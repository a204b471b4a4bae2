/** Small helpers for elements. Text is always set as text: what is shown is somebody's program. */

type Attributes = Readonly<Record<string, string>>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

export function button(label: string, title: string, act: () => void): HTMLButtonElement {
  const node = element('button', 'lpf-button', label);
  node.type = 'button';
  node.title = title;
  node.addEventListener('click', act);
  return node;
}

/** Gives a node other children. If the focus was in one of those before, the node gets it. */
export function refill(node: HTMLElement, ...children: Node[]): void {
  const hadFocus = node.contains(document.activeElement);
  node.replaceChildren(...children);
  if (hadFocus) {
    node.focus();
  }
}

export function set<T extends HTMLElement>(node: T, attributes: Attributes): T {
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  return node;
}
