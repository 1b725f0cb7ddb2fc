// Elements from words: text nodes only, so that no word of anybody can be live.

import type { PageNode } from './types';

type Attributes = Record<string, string>;

/** Make an element; strings among the children become text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Make a button that does one thing. */
export function button(
  label: string,
  attributes: Attributes,
  act: () => void
): HTMLButtonElement {
  const node = make('button', { type: 'button', ...attributes }, label);
  node.addEventListener('click', act);
  return node;
}

const TONES: Record<string, string> = {
  pending: 'wait',
  approved: 'good',
  denied: 'bad',
  revoked: 'bad',
  expired: 'bad'
};

/** A status as a pill: its word, and a dot in its tone. */
export function badge(status: string): HTMLElement {
  return make('span', { class: `fednb-badge ${TONES[status] ?? ''}` }, status);
}

/** Why something did not work, and what to do. */
export function trouble(failure: { message: string; advice: string }): HTMLElement {
  return make(
    'div',
    { class: 'fednb-trouble', role: 'alert', 'data-fednb': 'error' },
    make('strong', {}, failure.message),
    make('p', {}, failure.advice)
  );
}

const TAGS = new Set([
  ...['caption', 'code', 'dd', 'details', 'div', 'dl', 'dt', 'em', 'h2', 'h3', 'h4', 'li'],
  ...['ol', 'p', 'pre', 'section', 'span', 'strong', 'summary', 'table', 'tbody', 'td'],
  ...['th', 'thead', 'tr', 'ul']
]);

/** Build a page that the server sent as a tree; a tag that is not on the list is a span. */
export function build(nodes: PageNode[]): Node[] {
  return nodes.map(node => {
    if (typeof node === 'string') {
      return document.createTextNode(node);
    }
    const element = document.createElement(TAGS.has(node.tag) ? node.tag : 'span');
    element.className = node.class;
    element.append(...build(node.children));
    return element;
  });
}
