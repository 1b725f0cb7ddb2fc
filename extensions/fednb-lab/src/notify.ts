// A notification when a request arrives. No word of the requester is in it.

import { Notification } from '@jupyterlab/apputils';

import type { RequestsModel } from './model';
import type { IRequest, RequestKey } from './types';

/** Milliseconds; the status bar goes on telling. */
const SHOWN = 10_000;

/** Where a page keeps what it told, so that reloading it does not tell again. */
const TOLD = 'fednb:told';

/** Tell about requests that arrive while the page is open, and about those that wait. */
export function notifyArrivals(
  model: RequestsModel,
  open: (key: RequestKey) => void,
  openPanel: () => void
): void {
  const told = new Map<string, IRequest[]>();
  model.arrived.connect((_, arrived) => {
    const before = recall();
    const fresh = arrived.filter(request => !before.has(nameOf(request)));
    keep(model.requests.requests.filter(r => r.status === 'pending').map(nameOf));
    const [first] = fresh;
    if (!first) {
      return;
    }
    const alone = fresh.length === 1;
    const read = {
      label: alone ? 'Read it' : 'Show them',
      callback: () => (alone ? open(first) : openPanel())
    };
    const id = Notification.info(message(fresh), { autoClose: SHOWN, actions: [read] });
    told.set(id, fresh);
  });
  // what is being read, or was decided, needs no notification
  model.changed.connect(() => {
    for (const [id, fresh] of told) {
      if (!fresh.some(request => waitsUnread(model, request))) {
        Notification.dismiss(id);
        told.delete(id);
      }
    }
  });
}

function nameOf({ home, hash }: RequestKey): string {
  return `${home}/${hash}`;
}

function recall(): Set<string> {
  try {
    const kept: unknown = JSON.parse(window.sessionStorage.getItem(TOLD) ?? '[]');
    return new Set(Array.isArray(kept) ? kept.filter(name => typeof name === 'string') : []);
  } catch {
    return new Set();
  }
}

function keep(names: string[]): void {
  try {
    window.sessionStorage.setItem(TOLD, JSON.stringify(names));
  } catch {
    // a browser that keeps nothing is told again
  }
}

function waitsUnread(model: RequestsModel, request: IRequest): boolean {
  const { selected } = model;
  const read = selected?.hash === request.hash && selected.home === request.home;
  return !read && model.find(request)?.status === 'pending';
}

function message(fresh: IRequest[]): string {
  const sites = [...new Set(fresh.map(r => r.site))].join(', ');
  return fresh.length === 1
    ? `A request to ${sites} waits for your decision.`
    : `${fresh.length} requests to ${sites} wait for your decision.`;
}
