// The panel in the left area: the homes, what waits, and what was decided.

import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { badge, button, make, trouble } from './dom';
import { homeSection } from './homes';
import { fednbIcon } from './icons';
import type { RequestsModel } from './model';
import type { IRequest, RequestKey } from './types';

export class RequestsPanel extends Widget {
  constructor(
    private readonly model: RequestsModel,
    private readonly open: (key: RequestKey) => void
  ) {
    super();
    this.id = 'fednb-panel';
    this.title.icon = fednbIcon;
    this.title.caption = 'fednb: requests to this site';
    this.addClass('fednb-Panel');
    this.node.dataset['fednb'] = 'panel';
    this.node.tabIndex = -1;
    const refresh = button(
      'Refresh',
      { class: 'fednb-button', 'data-fednb': 'refresh' },
      () => void model.refresh()
    );
    const title = make('h2', {}, 'fednb');
    const head = make('header', { class: 'fednb-Panel-head' }, title, refresh);
    this.node.append(head, this.body);
    model.changed.connect(this.draw, this);
    this.draw();
  }

  protected override onActivateRequest(_: Message): void {
    this.node.focus();
  }

  private draw(): void {
    const focused = this.focusedHash();
    this.body.replaceChildren(...this.parts());
    if (focused) {
      this.body.querySelector<HTMLElement>(`[data-hash="${focused}"]`)?.focus();
    }
  }

  private focusedHash(): string {
    const active = document.activeElement;
    const inside = active instanceof HTMLElement && this.body.contains(active);
    return inside ? (active.dataset['hash'] ?? '') : '';
  }

  private parts(): Node[] {
    const { homes, failure } = this.model;
    const wrong = failure ? [trouble(failure)] : [];
    if (homes === null) {
      const asking = make('p', { class: 'fednb-muted' }, 'Asking the server …');
      return wrong.length ? wrong : [asking];
    }
    if (!homes.homes.length) {
      return [...wrong, emptyState(homes.advice)];
    }
    return [
      ...wrong,
      // first what a person has to do: homes fill a low or narrow window alone
      this.waiting(),
      ...this.unreadable(),
      ...homes.homes.map(homeSection),
      ...this.decided()
    ];
  }

  private waiting(): HTMLElement {
    if (!this.model.answered) {
      return make('p', { class: 'fednb-muted' }, 'Asking which requests there are …');
    }
    const { requests, pending } = this.model.requests;
    const rows = requests.filter(r => r.status === 'pending').map(r => this.row(r));
    const none = make(
      'p',
      { class: 'fednb-muted', 'data-fednb': 'none-waiting' },
      'No request waits for you. A new one appears here by itself.'
    );
    const title = make('h3', {}, 'Waiting for your decision ');
    title.append(make('span', { class: 'fednb-count' }, String(pending)));
    return make('section', {}, title, ...(rows.length ? rows : [none]));
  }

  private unreadable(): HTMLElement[] {
    return this.model.requests.unreadable.map(({ hash }) =>
      trouble({
        message: `Contract ${hash.slice(0, 12)} is not in force.`,
        advice:
          'Its stored bytes were edited or are damaged. Have it proposed again, and check ' +
          'the ledger with `fednb ledger verify`.'
      })
    );
  }

  private decided(): HTMLElement[] {
    const { requests, rest } = this.model.requests;
    const rows = requests.filter(r => r.status !== 'pending').map(r => this.row(r));
    if (!rows.length) {
      return [];
    }
    const more = make('p', { class: 'fednb-muted' }, `… and ${rest} more`);
    const summary = make('summary', {}, `Decided (${rows.length + rest})`);
    const node = make('details', {}, summary, ...rows, ...(rest ? [more] : []));
    node.open = this.decidedOpen;
    node.addEventListener('toggle', () => {
      this.decidedOpen = node.open;
    });
    return [node];
  }

  private row(request: IRequest): HTMLElement {
    const { home, hash, status } = request;
    const chosen = this.model.selected?.hash === hash && this.model.selected.home === home;
    const line = make(
      'span',
      { class: 'fednb-Row-line' },
      make('strong', {}, request.requester),
      ...(status === 'pending' ? [] : [badge(status)])
    );
    const facts = `${request.site} · ${request.dataset} · ${request.received}`;
    const node = button(
      '',
      {
        class: `fednb-Row${chosen ? ' fednb-mod-selected' : ''}`,
        'data-fednb': 'request',
        'data-hash': hash,
        'data-home': home,
        'data-status': status,
        title: 'Read this request'
      },
      () => this.open({ home, hash })
    );
    node.append(
      line,
      make('span', { class: 'fednb-Row-purpose' }, request.purpose || 'No purpose given.'),
      make('span', { class: 'fednb-muted' }, facts)
    );
    if (status === 'pending' && request.look) {
      node.append(make('span', { class: 'fednb-look' }, 'Look at the key of the requester'));
    }
    return node;
  }

  private readonly body = make('div', { class: 'fednb-Panel-body' });
  private decidedOpen = false;
}

function emptyState(advice: string): HTMLElement {
  return make(
    'div',
    { class: 'fednb-empty', 'data-fednb': 'empty' },
    make('strong', {}, 'No site home'),
    make('p', {}, advice)
  );
}
