// A request in full, in a tab of its own, and the decision on it.

import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { failureOf } from './api';
import { decisionForm, decisionMade } from './decision';
import { badge, build, make, trouble } from './dom';
import { fednbIcon } from './icons';
import type { RequestsModel } from './model';
import type { ICard, RequestKey } from './types';

export class RequestCard extends Widget {
  constructor(
    private readonly model: RequestsModel,
    readonly key: RequestKey
  ) {
    super();
    this.id = RequestCard.idOf(key);
    this.title.label = `Request ${key.hash.slice(0, 8)}`;
    this.title.icon = fednbIcon;
    this.title.closable = true;
    this.addClass('fednb-Card');
    this.node.dataset['fednb'] = 'card';
    this.node.dataset['hash'] = key.hash;
    this.node.tabIndex = -1;
    this.node.append(this.body, this.notice, this.foot);
    this.body.append(make('p', { class: 'fednb-muted' }, 'Reading the request …'));
    model.changed.connect(this.follow, this);
    void this.load();
  }

  static idOf({ home, hash }: RequestKey): string {
    return `fednb-request-${home}-${hash}`;
  }

  /** Where the request stands; empty while it is not read yet. */
  get status(): string {
    return this.card?.status ?? '';
  }

  get site(): string {
    return this.card?.site ?? '';
  }

  approve(note: string): Promise<void> {
    return this.decide(this.model.approve(this.key, note));
  }

  deny(reason: string): Promise<void> {
    return this.decide(this.model.deny(this.key, reason));
  }

  revoke(reason: string): Promise<void> {
    return this.decide(this.model.revoke(this.key, reason));
  }

  protected override onActivateRequest(_: Message): void {
    this.node.focus();
  }

  protected override onAfterShow(): void {
    this.model.select(this.key);
  }

  private async load(): Promise<void> {
    try {
      this.show_(await this.model.card(this.key));
    } catch (error) {
      this.complain(error);
    }
  }

  private async decide(answer: Promise<ICard>): Promise<void> {
    try {
      this.show_(await answer);
    } catch (error) {
      this.complain(error);
      throw error;
    }
  }

  /** Read it again once it stands elsewhere: somebody else decided, or it expired. */
  private follow(): void {
    const known = this.model.find(this.key);
    if (this.card && known && known.status !== this.card.status) {
      void this.load();
    }
  }

  private complain(error: unknown): void {
    this.notice.replaceChildren(trouble(failureOf(error)));
  }

  private show_(card: ICard): void {
    if (this.isDisposed) {
      return;
    }
    this.card = card;
    this.notice.replaceChildren();
    this.node.dataset['status'] = card.status;
    this.body.replaceChildren(heading(card), page(card));
    const foot =
      card.status === 'pending' ? decisionForm(card, this) : decisionMade(card, this);
    this.foot.replaceChildren(foot);
  }

  private card: ICard | null = null;
  private readonly body = make('div', { class: 'fednb-Card-body' });
  private readonly notice = make('div', { class: 'fednb-Card-notice' });
  private readonly foot = make('footer', { class: 'fednb-Card-foot' });
}

function heading(card: ICard): HTMLElement {
  const title = make('h1', {}, `${card.requester} asks ${card.site} `);
  const status = badge(card.status);
  status.dataset['fednb'] = 'status';
  title.append(status);
  const facts: [string, string][] = [
    ['Dataset', card.dataset],
    ['Received', card.received],
    ['Expires', card.expires],
    ['Key fingerprint', card.fingerprint]
  ];
  return make(
    'header',
    { class: 'fednb-Card-head' },
    title,
    make('p', { class: 'fednb-purpose', 'data-fednb': 'purpose' }, card.purpose || 'No purpose given.'),
    make(
      'dl',
      { class: 'fednb-facts' },
      ...facts.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value)))
    )
  );
}

function page(card: ICard): HTMLElement {
  return make('article', { class: 'fednb-Page', 'data-fednb': 'page' }, ...build(card.page));
}
