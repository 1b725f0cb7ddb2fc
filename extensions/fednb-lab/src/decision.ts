// What an owner can decide on a request, and what was decided.

import { badge, button, make } from './dom';
import type { ICard } from './types';

/** Longest note or reason that the server takes. */
const MAX_WORDS = '2000';

export interface IDecisions {
  approve: (note: string) => Promise<void>;
  deny: (reason: string) => Promise<void>;
  revoke: (reason: string) => Promise<void>;
}

/** A button, and the words that go with it. */
interface IChoice {
  verb: keyof IDecisions;
  label: string;
  words: 'note' | 'reason';
  hint: string;
}

const APPROVE: IChoice = {
  verb: 'approve',
  label: 'Approve',
  words: 'note',
  hint: 'Note for your own records (optional)'
};
const DENY: IChoice = {
  verb: 'deny',
  label: 'Deny',
  words: 'reason',
  hint: 'Reason, for your own records (required to deny)'
};
const REVOKE: IChoice = {
  verb: 'revoke',
  label: 'Revoke',
  words: 'reason',
  hint: 'Reason, for your own records (required to revoke)'
};

const MADE: Record<string, string> = {
  approved: 'It may run here until it expires. Revoking stops what runs.',
  denied: 'It never runs here. The requester is told that it was denied, not why.',
  revoked: 'It no longer runs here.',
  expired: 'It no longer runs here; it can be requested again.'
};

/** Two choices: approve with a note, or deny with a reason. */
export function decisionForm(card: ICard, decisions: IDecisions): HTMLElement {
  // the buttons stand to the left: notifications cover the right
  return make(
    'div',
    { class: 'fednb-decision', role: 'group', 'aria-label': 'Your decision' },
    make('p', {}, 'Approving signs the hash ', hash(card), ` with the key of ${card.site}.`),
    ...choices([APPROVE, DENY], decisions)
  );
}

/** Where a request stands; one that is approved can be revoked with a reason. */
export function decisionMade(card: ICard, decisions: IDecisions): HTMLElement {
  const words = make('p', {}, badge(card.status), ' ', MADE[card.status] ?? '');
  const note = make('p', { class: 'fednb-muted' }, `Your note: ${card.note}`);
  const open = card.status === 'approved' ? choices([REVOKE], decisions) : [];
  return make(
    'div',
    { class: 'fednb-decision' },
    words,
    ...(card.note ? [note] : []),
    ...open
  );
}

/** Draw choices of which one is made, once. */
function choices(every: IChoice[], decisions: IDecisions): HTMLElement[] {
  const controls: (HTMLInputElement | HTMLButtonElement)[] = [];
  const checks: (() => void)[] = [];
  return every.map(({ verb, label, words, hint }) => {
    const said = field(words, hint);
    const act = async (): Promise<void> => {
      controls.forEach(c => (c.disabled = true));
      await decisions[verb](said.value).catch(() => {
        // the card says why; it can be tried again
        controls.forEach(c => (c.disabled = false));
        checks.forEach(check => check());
      });
    };
    const send = button(label, kind(verb), () => void act());
    const check = (): void => {
      send.disabled = words === 'reason' && !said.value.trim();
    };
    said.addEventListener('input', check);
    check();
    controls.push(said, send);
    checks.push(check);
    return make('div', { class: 'fednb-choice' }, send, said);
  });
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
