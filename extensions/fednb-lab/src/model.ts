// What the panel knows: asked for every two seconds, and not while the page is hidden.

import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, failureOf } from './api';
import type { ICard, IFailure, IHomes, IRequest, IRequests, RequestKey } from './types';

const SECOND = 1000;
const REQUESTS_EVERY = 2 * SECOND;
/** Datasets and policies change rarely. */
const HOMES_EVERY = 30 * SECOND;
/** The longest pause while the server does not answer. */
const PATIENCE = 30 * SECOND;

const NOTHING: IRequests = { requests: [], pending: 0, rest: 0, unreadable: [] };

export class RequestsModel {
  constructor(private readonly api: Api) {
    this.poll = new Poll({
      name: '@fednb/lab:requests',
      auto: false,
      factory: () => this.look(),
      frequency: { interval: REQUESTS_EVERY, backoff: true, max: PATIENCE },
      standby: 'when-hidden'
    });
  }

  /** Null until the server answered for the first time. */
  homes: IHomes | null = null;
  requests: IRequests = NOTHING;
  /** Whether the server said which requests there are. */
  answered = false;
  failure: IFailure | null = null;
  selected: RequestKey | null = null;

  /** Something that is shown is other than it was. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Requests that wait, and did not when the server was last asked. */
  get arrived(): ISignal<this, IRequest[]> {
    return this._arrived;
  }

  start(): Promise<void> {
    return this.poll.start();
  }

  /** Ask for everything now. */
  async refresh(): Promise<void> {
    this.homesAt = 0;
    await this.poll.refresh();
    await this.poll.tick;
  }

  find(key: RequestKey): IRequest | undefined {
    return this.requests.requests.find(r => r.home === key.home && r.hash === key.hash);
  }

  card(key: RequestKey): Promise<ICard> {
    return this.api.request(key);
  }

  approve(key: RequestKey, note: string): Promise<ICard> {
    return this.decided(this.api.approve(key, note));
  }

  deny(key: RequestKey, reason: string): Promise<ICard> {
    return this.decided(this.api.deny(key, reason));
  }

  revoke(key: RequestKey, reason: string): Promise<ICard> {
    return this.decided(this.api.revoke(key, reason));
  }

  select(key: RequestKey): void {
    this.selected = key;
    this._changed.emit();
  }

  dispose(): void {
    this.poll.dispose();
    Signal.clearData(this);
  }

  private async decided(answer: Promise<ICard>): Promise<ICard> {
    try {
      return await answer;
    } finally {
      void this.refresh();
    }
  }

  private async look(): Promise<void> {
    try {
      if (Date.now() - this.homesAt > HOMES_EVERY) {
        this.homes = await this.api.homes();
        this.homesAt = Date.now();
      }
      this.take(this.homes?.homes.length ? await this.api.requests() : NOTHING);
    } catch (error) {
      this.failure = failureOf(error);
      this.tell();
      // the poll backs off
      throw error;
    }
  }

  private take(found: IRequests): void {
    this.failure = null;
    this.requests = found;
    this.answered = true;
    const waiting = found.requests.filter(r => r.status === 'pending');
    const fresh = waiting.filter(r => !this.known.has(`${r.home}/${r.hash}`));
    fresh.forEach(r => this.known.add(`${r.home}/${r.hash}`));
    this.tell();
    if (fresh.length) {
      this._arrived.emit(fresh);
    }
  }

  /** Emit only where something changed, so that nobody's focus is lost. */
  private tell(): void {
    const now = JSON.stringify([this.homes, this.requests, this.answered, this.failure]);
    if (now !== this.told) {
      this.told = now;
      this._changed.emit();
    }
  }

  private readonly poll: Poll;
  private readonly known = new Set<string>();
  private homesAt = 0;
  private told = '';
  private readonly _changed = new Signal<this, void>(this);
  private readonly _arrived = new Signal<this, IRequest[]>(this);
}
