// What an owner can decide on a request, and what was decided.

import { badge, button, make } from './dom';
import type { ICard } from './types';

/** Longest note or reason that the server takes. */
const MAX_WORDS = '2000';

export interface IDecisions {
  approve: (note: string) => Promise<void>;
  deny: (reason: string) => Promise<void>;
}

/** Two choices: approve with a note, or deny with a reason. */
export function decisionForm(card: ICard, decisions: IDecisions): HTMLElement {
  const note = field('note', 'Note for your own records (optional)');
  const reason = field('reason', 'Reason, for your own records (required to deny)');
  const once = (act: () => Promise<void>) => async (): Promise<void> => {
    const controls = [note, reason, approve, deny];
    controls.forEach(c => (c.disabled = true));
    await act().catch(() => {
      // the card says why; it can be tried again
      controls.forEach(c => (c.disabled = false));
      check();
    });
  };
  const yes = once(() => decisions.approve(note.value));
  const no = once(() => decisions.deny(reason.value));
  const approve = button('Approve', kind('approve'), () => void yes());
  const deny = button('Deny', kind('deny'), () => void no());
  const check = (): void => {
    deny.disabled = !reason.value.trim();
  };
  reason.addEventListener('input', check);
  check();
  // the buttons stand to the left: notifications cover the right
  return make(
    'div',
    { class: 'fednb-decision', role: 'group', 'aria-label': 'Your decision' },
    make('p', {}, 'Approving signs the hash ', hash(card), ` with the key of ${card.site}.`),
    make('div', { class: 'fednb-choice' }, approve, note),
    make('div', { class: 'fednb-choice' }, deny, reason)
  );
}

const MADE: Record<string, string> = {
  approved: 'It may run here until it expires. Take it back with `fednb site revoke`.',
  denied: 'It never runs here. The requester is told that it was denied, not why.',
  revoked: 'It no longer runs here.',
  expired: 'It no longer runs here; it can be requested again.'
};

/** Where a request stands that needs no decision. */
export function decisionMade(card: ICard): HTMLElement {
  const words = make('p', {}, badge(card.status), ' ', MADE[card.status] ?? '');
  const note = make('p', { class: 'fednb-muted' }, `Your note: ${card.note}`);
  return make('div', { class: 'fednb-decision' }, words, ...(card.note ? [note] : []));
}

function field(name: string, hint: string): HTMLInputElement {
  return make('input', {
    type: 'text',
    class: 'fednb-input',
    'data-fednb': name,
    placeholder: hint,
    'aria-label': hint,
    maxlength: MAX_WORDS,
    autocomplete: 'off'
  });
}

function kind(name: string): Record<string, string> {
  return { class: `fednb-button fednb-${name}`, 'data-fednb': name };
}

function hash(card: ICard): HTMLElement {
  return make('code', { title: card.hash }, card.hash.slice(0, 12));
}
